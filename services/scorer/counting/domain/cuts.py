"""By what the scores of a store are cut, and which cuts one answer belongs to."""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

TIER = "tier"
TOUCHPOINT = "touchpoint"
UNKNOWN = "unknown"
OTHER = "other"

_PART = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Cut(NamedTuple):
    """The name of one series within its metric and scale; both empty: the whole store."""

    segment: str
    touchpoint: str


class Cuts:
    """The declared dimensions of one store.

    `dimensions`: name -> the values with a score of their own, or None for any value. Every dimension, the
    touchpoint and the tier are cut alone; `combinations` are cut together. A missing value is `unknown`, an
    undeclared one `other`. `tiers`: those that may be asked for, or None for any.
    """

    def __init__(
        self,
        dimensions: Mapping[str, frozenset[str] | None],
        touchpoints: frozenset[str],
        combinations: Sequence[tuple[str, ...]] = (),
        *,
        tiers: frozenset[str] | None = None,
    ) -> None:
        self._dimensions = dict(dimensions)
        self._tiers = tiers
        self._touchpoints = touchpoints
        dimension_sets = [(TOUCHPOINT,), (TIER,), *[(name,) for name in self._dimensions], *combinations]
        unique: dict[frozenset[str], tuple[str, ...]] = {}
        for names in dimension_sets:
            unique.setdefault(frozenset(names), tuple(dict.fromkeys(names)))
        self._sets = list(unique.values())

    def profile(
        self, segments: Mapping[str, str], touchpoint: str | None, tier: str | None
    ) -> tuple[str, ...]:
        """The values that decide the cuts: touchpoint, tier, then each declared dimension in order."""
        return (
            self._touchpoint(touchpoint),
            tier or UNKNOWN,
            *[
                UNKNOWN
                if (value := segments.get(name)) is None
                else (value if allowed is None or value in allowed else OTHER)
                for name, allowed in self._dimensions.items()
            ],
        )

    def of(self, profile: tuple[str, ...]) -> list[Cut]:
        """Every cut that an answer of this profile belongs to, the whole store first."""
        values = dict(zip((TOUCHPOINT, TIER, *self._dimensions), profile, strict=True))
        return [Cut("", ""), *dict.fromkeys(self._named(names, values) for names in self._sets)]

    def declared(self, segment: str, touchpoint: str) -> Cut | None:
        """The cut that a query names, in its stored spelling; None when it is not declared."""
        values: dict[str, str] = {}
        parts = _PART.findall(segment)
        if ",".join(parts) != segment:
            return None
        for part in parts:
            name, colon, value = part.partition(":")
            if not colon or name in values or name == TOUCHPOINT:
                return None
            values[name] = _ESCAPE.sub(r"\1", value)
        if touchpoint:
            values[TOUCHPOINT] = touchpoint
        if not values:
            return Cut("", "")
        for names in self._sets:
            if set(names) == set(values) and all(self._has(name, values[name]) for name in names):
                return self._named(names, values)
        return None

    def listing(self) -> list[str]:
        """What may be asked for, as a person would write it."""
        lines = []
        for names in self._sets:
            lines.append(" + ".join(f"{name}:{self._values(name)}" for name in names))
        return lines

    def _has(self, name: str, value: str) -> bool:
        allowed = self._allowed(name)
        if name == TIER:
            return value == UNKNOWN or (bool(value) if allowed is None else value in allowed)
        return allowed is None or value in allowed or value in (UNKNOWN, OTHER)

    def _values(self, name: str) -> str:
        allowed = self._allowed(name)
        return "|".join(sorted(allowed)) if allowed else "…"

    def _allowed(self, name: str) -> frozenset[str] | None:
        """The values of a dimension that may be asked for; None for any."""
        if name == TIER:
            return self._tiers
        return self._touchpoints if name == TOUCHPOINT else self._dimensions.get(name)

    def _touchpoint(self, touchpoint: str | None) -> str:
        if touchpoint is None:
            return UNKNOWN
        return touchpoint if touchpoint in self._touchpoints else OTHER

    @staticmethod
    def _named(names: Sequence[str], values: Mapping[str, str]) -> Cut:
        parts = [f"{name}:{_spelled(values[name])}" for name in sorted(names) if name != TOUCHPOINT]
        return Cut(",".join(parts), values[TOUCHPOINT] if TOUCHPOINT in names else "")


def _spelled(value: str) -> str:
    """A comma within a value is written `\\,`, so that `a,b:c` is not the value `a` beside a segment `b`."""
    return value.replace("\\", "\\\\").replace(",", "\\,") if "," in value or "\\" in value else value


def tier_before(spells: Sequence[tuple[datetime, str]], moment: datetime) -> str | None:
    """The tier in force strictly before a moment; `spells` are (since, tier), oldest first.

    An order that lifts the tier at the very moment of an answer does not change what the answer was given in.
    """
    index = bisect_left(spells, moment, key=lambda spell: spell[0])
    return spells[index - 1][1] if index else None


def only_dimension(segment: str, touchpoint: str) -> tuple[str, str] | None:
    """(dimension, value) of a series that is cut by one dimension alone; None for any other."""
    parts = _PART.findall(segment)
    if touchpoint:
        return None if parts else (TOUCHPOINT, touchpoint)
    if len(parts) != 1:
        return None
    name, _, value = parts[0].partition(":")
    return name, _ESCAPE.sub(r"\1", value)
