"""Read the file once at boot, and say where each mistake stands."""

import hashlib
import os
import re
from collections.abc import Hashable, Mapping
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
    """`line` counts from 1; 0 is the file as a whole. `where` is the dotted place, if there is one."""

    line: int
    where: str
    what: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        return ": ".join(part for part in (line, self.where, self.what) if part)


class ConfigError(ValueError):
    """The file cannot be used. `mistakes` are in the order of their lines."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.path = path
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        super().__init__("\n".join(f"{path}, {mistake}" for mistake in self.mistakes))


class _File(Strict):
    stores: dict[Name, Store] = Field(min_length=1)


class Config:
    """The checked file. `version` names its content, and is stored with every decision made by it."""

    def __init__(
        self, path: Path, stores: Mapping[str, Store], version: str, lines: dict[Place, int]
    ) -> None:
        self.path = path
        self.stores = stores
        self.version = version
        self._lines = lines

    def section(self, store: str, name: str, model: type[M]) -> M:
        """A service's own section of one store; raises ConfigError with the lines of its mistakes."""
        try:
            return model.model_validate(getattr(self.stores[store], name))
        except ValidationError as error:
            raise ConfigError(self.path, _mistakes(error, self._lines, ("stores", store, name))) from None


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check the file; raises ConfigError with every mistake at once."""
    try:
        raw = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(path, [Mistake(0, "", f"cannot be read: {error.strerror}")]) from None
    try:
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "is not YAML"
        raise ConfigError(path, [Mistake(mark.line + 1 if mark else 0, "", problem)]) from None
    lines: dict[Place, int] = {(): 1}
    mistakes: list[Mistake] = []
    document = _plain(node, (), lines, mistakes, environment) if node else {}
    if mistakes:
        raise ConfigError(path, mistakes)
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise ConfigError(path, _mistakes(error, lines, ())) from None
    return Config(path, file.stores, hashlib.sha256(raw.encode()).hexdigest()[:12], lines)


def _plain(
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    mistakes: list[Mistake],
    environment: Mapping[str, str],
) -> Any:
    """The node as Python values, noting the line of each place, repeated keys and unset variables."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in result:
                mistakes.append(Mistake(line, _dotted((*place, key)), "stands here a second time"))
            lines[(*place, key)] = line
            result[key] = _plain(value_node, (*place, key), lines, mistakes, environment)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, i), lines, mistakes, environment) for i, item in enumerate(node.value)]
    value = yaml.SafeLoader("").construct_object(node)
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name not in environment and default is None:
            mistakes.append(Mistake(lines[place], _dotted(place), f"the environment has no {name}"))
        return environment.get(name) or default or ""

    return _VARIABLE.sub(fill, value)


def _mistakes(error: ValidationError, lines: dict[Place, int], base: Place) -> list[Mistake]:
    found = []
    for fault in error.errors(include_url=False, include_input=False):
        place: Place = (*base, *fault["loc"])
        known = place
        while known not in lines:
            known = known[:-1]
        found.append(Mistake(lines[known], _dotted(place), fault["msg"].removeprefix("Value error, ")))
    return found


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)
