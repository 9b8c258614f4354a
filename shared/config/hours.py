"""The business hours of a store: its week and its holidays, in its own time zone."""

import re
from collections.abc import Container
from datetime import date
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Span = tuple[int, int]
"""From and to, in minutes of the day; 1440 is its end."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = r"([01]?\d|2[0-4]):([0-5]\d)"
_SPAN = re.compile(rf"\s*{_TIME}\s*-\s*{_TIME}\s*")
_KEYS = re.compile(rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?")


class BusinessHours(BaseModel):
    """In the file: `mon-fri: "09:00-12:00, 13:00-17:30"`, `sat: …` and `holidays: [2026-12-25]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    week: tuple[tuple[Span, ...], ...]
    """The spans of each day, Monday first."""
    holidays: frozenset[date] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if not isinstance(written, dict) or "week" in written:
            return written
        week: dict[int, tuple[Span, ...]] = {}
        faults: list[InitErrorDetails] = []
        for key, text in written.items():
            if key == "holidays":
                continue
            try:
                week |= _some_days(key, text, week)
            except ValueError as error:
                faults.append(_fault(str(error), key))
        if not faults and not any(week.values()):
            faults.append(_fault("has no day with hours"))
        if faults:
            raise ValidationError.from_exception_data("BusinessHours", faults)
        return {
            "week": [week.get(day, ()) for day in range(len(DAYS))],
            "holidays": written.get("holidays") or (),
        }


def _some_days(key: str, text: object, known: Container[int]) -> dict[int, tuple[Span, ...]]:
    days = _days(key)
    for day in days:
        if day in known:
            raise ValueError(f"{DAYS[day]} stands here a second time")
    return dict.fromkeys(days, _spans(text))


def _days(key: str) -> list[int]:
    match = _KEYS.fullmatch(key)
    if match is None:
        raise ValueError("is neither a day such as mon, nor days such as mon-fri, nor holidays")
    first = DAYS.index(match[1])
    last = DAYS.index(match[2]) if match[2] else first
    return [day % 7 for day in range(first, (last if last >= first else last + 7) + 1)]


def _spans(text: object) -> tuple[Span, ...]:
    if not isinstance(text, str):
        raise ValueError("is not text such as 09:00-18:00, in quotes")  # noqa: TRY004 - one kind of mistake
    spans = tuple(_span(part) for part in text.split(",")) if text.strip() else ()
    for (_, end), (begin, _) in pairwise(spans):
        if begin < end:
            raise ValueError("has spans that overlap, or are not in order")
    return spans


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()[:40]!r} is not a span such as 09:00-18:00")
    begin, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (1, 3))
    if end > 24 * 60 or begin >= end:
        raise ValueError(
            "ends before it begins; a span over midnight is two, one to 24:00 and one from 00:00 on"
        )
    return begin, end


def _fault(text: str, *place: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("hours", "{what}", {"what": text}), loc=place, input=None
    )
