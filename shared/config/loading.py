"""Read `closeloop.yaml` once at boot, and name the line of each mistake."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from shared.config.stores import Name, Store, Strict

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in the file. `line` counts from 1, 0 is the whole file; `where` is the place with dots."""

    line: int
    where: str
    what: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(part for part in (line, self.where, self.what) if part)


class ConfigError(ValueError):
    """The file cannot be used. `mistakes` are sorted by line."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.path = path
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        super().__init__("\n".join(f"{path}, {mistake}" for mistake in self.mistakes))


class _File(Strict):
    stores: dict[Name, Store] = Field(min_length=1)


class Config:
    """The checked file. `version` is a hash of its content, stored with every decision made by it."""

    def __init__(
        self, path: Path, stores: Mapping[str, Store], version: str, lines: dict[Place, int]
    ) -> None:
        self.path = path
        self.stores = stores
        self.version = version
        self._lines = lines

    def section(self, store: str, name: str, model: type[M]) -> M:
        """A service's own section of one store. Raises ConfigError with the lines of its mistakes."""
        try:
            return model.model_validate(getattr(self.stores[store], name))
        except ValidationError as error:
            raise ConfigError(self.path, _mistakes(error, self._lines, ("stores", store, name))) from None

    def mistake(self, text: str, *place: str | int) -> Mistake:
        """A mistake at this place, found by a service that reads two sections together."""
        return Mistake(_line(self._lines, place), _dotted(place), text)


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check the file. Raises ConfigError with all mistakes at once."""
    try:
        raw = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(path, [Mistake(0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(path, [Mistake(0, "", "is not UTF-8 text")]) from None
    try:
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        texts = (getattr(error, "context", None), getattr(error, "problem", None))
        problem = ", ".join(text for text in texts if text) or "is not YAML"
        raise ConfigError(path, [Mistake(mark.line + 1 if mark else 0, "", problem)]) from None
    reader = _Reader(environment)
    document = reader.plain(node, ()) if node else {}
    if reader.mistakes:
        raise ConfigError(path, reader.mistakes)
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise ConfigError(path, _mistakes(error, reader.lines, ())) from None
    return Config(path, file.stores, hashlib.sha256(raw.encode()).hexdigest()[:12], reader.lines)


class _Reader:
    """Turns YAML nodes into Python values; notes the line of each place, and mistakes that no model sees."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.lines: dict[Place, int] = {(): 1}
        self.mistakes: list[Mistake] = []
        self._environment = environment
        self._open: set[int] = set()

    def plain(self, node: yaml.Node, place: Place) -> Any:
        """The value of a node; None for a mistake, which is noted."""
        line = self.lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self._open:
            return self._note(line, place, "contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, place, line)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                self._note(line, place, "has a key that is not a word")
                continue
            if key in result:
                self._note(line, (*place, key), "stands here a second time")
            self.lines[(*place, key)] = line
            result[key] = self.plain(value_node, (*place, key))
        return result

    def _scalar(self, node: yaml.Node, place: Place, line: int) -> Any:
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError):
            kind = str(node.tag).rpartition(":")[2]
            return self._note(line, place, f"cannot be read as {kind}; write text in quotes")
        if not isinstance(value, str):
            return value
        if "${" in _VARIABLE.sub("", value):
            return self._note(line, place, "has a ${ that is not ${NAME} or ${NAME:-default}, in capitals")

        def fill(match: re.Match[str]) -> str:
            name, default = match.groups()
            if name not in self._environment and default is None:
                self._note(line, place, f"the environment has no {name}")
            return self._environment.get(name) or default or ""

        return _VARIABLE.sub(fill, value)

    def _note(self, line: int, place: Place, text: str) -> None:
        self.mistakes.append(Mistake(line, _dotted(place), text))


def _mistakes(error: ValidationError, lines: dict[Place, int], base: Place) -> list[Mistake]:
    mistakes = []
    for fault in error.errors(include_url=False, include_input=False):
        place: Place = (*base, *fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        mistakes.append(Mistake(_line(lines, place), _dotted(place), text))
    return mistakes


def _line(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest place around it that has one."""
    while place not in lines:
        place = place[:-1]
    return lines[place]


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)
