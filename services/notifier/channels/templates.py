"""Templates of webhook bodies: Jinja in a sandbox, every value written as JSON, proved before it is used."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from services.notifier.channels.message import CaseMessage, Message
from services.notifier.channels.payload import payload
from services.notifier.channels.request import Unbuildable
from services.notifier.channels.wording import told

LARGEST_TEMPLATE_BYTES = 64 * 1024
LARGEST_BODY_CHARACTERS = 256 * 1024


class TemplateMistake(ValueError):
    """The file cannot be used. The text names it, and the line if there is one."""


class BodyTemplate:
    """`{{ value }}` writes JSON, quotes included, so that nothing a customer writes can break the body."""

    def __init__(self, path: Path, shown_as: str) -> None:
        """Raises TemplateMistake."""
        self._name = shown_as
        try:
            if path.stat().st_size > LARGEST_TEMPLATE_BYTES:
                raise TemplateMistake(f"{shown_as} is larger than {LARGEST_TEMPLATE_BYTES} bytes")
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TemplateMistake(f"{shown_as} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TemplateMistake(f"{shown_as} is not UTF-8 text") from None
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, finalize=_as_json, trim_blocks=True, lstrip_blocks=True
        )
        try:
            code = environment.compile(source, name=shown_as, filename=shown_as)
        except TemplateSyntaxError as error:
            raise TemplateMistake(f"{shown_as}, line {error.lineno}: {error.message}") from None
        self._template = environment.template_class.from_code(
            environment, code, environment.make_globals(None)
        )

    def prove(self, samples: Mapping[str, Message], values: Mapping[str, str]) -> None:
        """Raises TemplateMistake unless each sample becomes JSON."""
        for name, sample in samples.items():
            try:
                self.render(sample, values)
            except Unbuildable as error:
                raise TemplateMistake(f"{error} (tried with {name})") from None

    def render(self, message: Message, values: Mapping[str, str]) -> bytes:
        """The body. Raises Unbuildable for a template that breaks on this message."""
        try:
            text = self._template.render(_context(message, values))
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise Unbuildable(self._blame(error)) from error
        if len(text) > LARGEST_BODY_CHARACTERS:
            raise Unbuildable(f"{self._name} makes more than {LARGEST_BODY_CHARACTERS} characters")
        try:
            return orjson.dumps(json.loads(text))
        except json.JSONDecodeError as error:
            near = f"line {error.lineno} of what it makes"
            raise Unbuildable(f"{self._name} does not make JSON: {error.msg} in {near}") from None
        except (orjson.JSONEncodeError, RecursionError):
            raise Unbuildable(f"{self._name} makes JSON with numbers or nesting out of bounds") from None

    def _blame(self, error: Exception) -> str:
        """The file, the line of the innermost frame in it, and what went wrong."""
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._name:
                line = trace.tb_lineno
            trace = trace.tb_next
        said = re.sub(r"[^ -~]+", "?", str(error))[:120] if isinstance(error, TemplateError) else ""
        return f"{self._name}, line {line}: {said or type(error).__name__}"


def _as_json(value: Any) -> Any:
    """What `{{ }}` writes. `tojson` says the same and marks it, so that it is not done twice."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, StrictUndefined):
        str(value)  # raises, naming what is not there
    return json.dumps(value, ensure_ascii=False)


def _context(message: Message, values: Mapping[str, str]) -> dict[str, Any]:
    """Every name is there for every message; what a message lacks is None."""
    said = told(message)
    data = payload(message)
    plain: dict[str, Any] = orjson.loads(orjson.dumps(data["data"], option=orjson.OPT_UTC_Z, default=str))
    return {
        "id": message.id,
        "type": message.type,
        "timestamp": message.created_at.isoformat(),
        "dedup_key": message.thread,
        "store": {"key": message.shop.key, "name": message.shop.name},
        "title": said.title,
        "subject": said.subject,
        "text": said.text,
        "facts": [{"name": name, "value": value} for name, value in said.facts],
        "items": [{"text": item.text, "link": item.link} for item in said.items],
        "more": said.more,
        "priority": str(said.priority),
        "link": said.link,
        "link_label": said.link_label,
        "case": plain.get("case") if isinstance(message, CaseMessage) else None,
        "answer": plain.get("answer"),
        "customer": plain.get("customer"),
        "notice": plain.get("notice"),
        "values": dict(values),
    }
