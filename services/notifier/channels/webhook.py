"""The form of a message as a webhook: its payload or a body by a template, signed as Standard Webhooks says.

Templates are proved with samples before they are used.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from standardwebhooks import Webhook

from services.notifier.cases.domain.answers import Answer, Person, Submitted, fold
from services.notifier.cases.domain.case import Case, Priority, Status
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage, Shop, payload
from services.notifier.channels.wording import words_of
from services.notifier.deliveries.settings import Channel

_NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
_SHOP = Shop("demo", "Demo store", ZoneInfo("Europe/Amsterdam"), "https://feedback.example")
_COMMENT = 'He said "never again" \\ </script> {{ 7 * 7 }}\r\n\u202etfel\u2028 & <!channel> ' + "late " * 2000


def samples() -> dict[str, Message]:
    """The messages that templates are proved with: full ones, empty ones, and what customers may write.

    By what each is, as the text of a TemplateMistake names it.
    """
    return {
        "an urgent case with everything": _case(Priority.URGENT, _answer()),
        "a case that was raised": _case(Priority.HIGH, _answer(), reason="raised:high"),
        "a case whose answer is gone": _case(Priority.LOW, None),
        "a notice with a list": _notice("digest", {"text": "Twenty-one more.", "facts": {"Alerts": 21}}, 2),
        "a notice without one": _notice("test", {}, 0),
    }


def _answer() -> Answer | None:
    body = Submitted(
        id="e-1",
        received_at=_NOW,
        answered_at=_NOW,
        metric="nps",
        scale="0-10",
        score=1,
        person=Person("ref-1", "c-1", "ann@example.com", 'Ann "The Hammer" O\'Neil'),
        comment=_COMMENT,
        touchpoint="post_delivery",
        order_id="o-1",
        order_value=Decimal("129.90"),
        currency="EUR",
        segments=(("country", "NL"),),
        follow_ups=(("Why?", "late"), ("Again?", None)),
    )
    return fold("r-1", [body])


def _case(priority: Priority, answer: Answer | None, reason: str = "opened") -> Message:
    case = Case(
        case_id="0199a0c2-6c1c-7000-8000-000000000001",
        store="demo",
        customer_ref="ref-1",
        response_id="r-1",
        status=Status.OPEN,
        priority=priority,
        rule="furious",
        config_version="v",
        verified=answer is not None,
        opened_at=_NOW,
        first_contact_due_at=_NOW + timedelta(hours=4),
        resolve_due_at=_NOW + timedelta(hours=48),
        resolve_hours=48,
        owner="kim@example.com" if answer else None,
        standing=frozenset({"r-1"}),
    )
    tags = ("vip",) if answer else ()
    return CaseMessage(
        "d-1", reason, _NOW, _SHOP, case, answer, "Gold" if answer else None, tags, "00-a-b-01"
    )


def _notice(kind: str, detail: dict[str, object], items: int) -> Message:
    listed = tuple(Item(f"Ann, NPS {n}, high", f"{_SHOP.base_url}/inbox/{n}") for n in range(items))
    return NoticeMessage(
        "d-2", f"{kind}:demo:1", kind, "A notice", detail, "/inbox", _NOW, _SHOP, listed, items, "00-a-b-01"
    )


@dataclass(frozen=True, slots=True)
class Request:
    """The headers and the body of one HTTP request."""

    headers: Mapping[str, str]
    body: bytes


Build = Callable[[Message, datetime], Request]
"""The request of a message at this moment. Raises Unbuildable when there can be none."""


class Unbuildable(Exception):
    """This message cannot be given this channel's form. The text says why, without the customer's words."""


LARGEST_TEMPLATE_BYTES = 64 * 1024
LARGEST_BODY_CHARACTERS = 256 * 1024


class TemplateMistake(ValueError):
    """The file cannot be used. The text names it, and the line if there is one."""


class BodyTemplate:
    """A template of a webhook's body: Jinja in a sandbox.

    `{{ value }}` writes JSON, quotes included, so that nothing that a customer writes can break the body.
    """

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
        problem = re.sub(r"[^ -~]+", "?", str(error))[:120] if isinstance(error, TemplateError) else ""
        return f"{self._name}, line {line}: {problem or type(error).__name__}"


def _as_json(value: Any) -> Any:
    """What `{{ }}` writes. `tojson` says the same and marks it, so that it is not done twice."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, StrictUndefined):
        str(value)  # raises, naming what is not there
    return json.dumps(value, ensure_ascii=False)


def _context(message: Message, values: Mapping[str, str]) -> dict[str, Any]:
    """Every name is there for every message; what a message lacks is None."""
    words = words_of(message)
    data = payload(message)
    plain: dict[str, Any] = orjson.loads(orjson.dumps(data["data"], option=orjson.OPT_UTC_Z, default=str))
    return {
        "id": message.id,
        "type": message.type,
        "timestamp": message.created_at.isoformat(),
        "dedup_key": message.thread,
        "store": {"key": message.shop.key, "name": message.shop.name},
        "title": words.title,
        "subject": words.subject,
        "text": words.text,
        "facts": [{"name": name, "value": value} for name, value in words.facts],
        "items": [{"text": item.text, "link": item.link} for item in words.items],
        "more": words.more,
        "priority": str(words.priority),
        "link": words.link,
        "link_label": words.link_label,
        "case": plain.get("case") if isinstance(message, CaseMessage) else None,
        "answer": plain.get("answer"),
        "customer": plain.get("customer"),
        "notice": plain.get("notice"),
        "values": dict(values),
    }


def request_builder(channel: Channel, template: BodyTemplate | None = None) -> Build:
    """What builds a channel's requests: a new timestamp and signature each, the same id for each attempt."""
    secret = channel.secret.get_secret_value()
    signer = Webhook(secret) if secret else None
    values = {name: value.get_secret_value() for name, value in channel.values.items()}

    def build(message: Message, now: datetime) -> Request:
        if template is None:
            body = orjson.dumps(payload(message), option=orjson.OPT_UTC_Z)
        else:
            body = template.render(message, values)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "traceparent": message.traceparent,
        }
        if signer:
            headers["webhook-signature"] = signer.sign(message.id, now, body.decode())
        return Request(headers, body)

    return build
