"""Times, durations, amounts and figures in words: one function for each purpose, for pages and messages."""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

MISSING = "–"
MINUS = "−"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class PageClock(NamedTuple):
    """The moment at which a page is read, and the time zone of its store."""

    now: datetime
    zone: ZoneInfo


def span(seconds: float | timedelta | None, *, tenths: bool = False) -> str:
    """`42 s`, `18 min`, `2 h 26 min`, `3 d 4 h`: the two largest parts, rounded down; a dash for None.

    `tenths`: for a time that was measured; below a minute it reads `0.4 s`.
    """
    if seconds is None:
        return MISSING
    exact = max(0.0, seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds))
    if tenths and round(exact, 1) < _MINUTE:
        return f"{exact:.1f} s"
    whole = int(round(exact, 1) if tenths else exact)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return _pair(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    return _pair(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def _pair(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"


def ago(moment: datetime, here: PageClock) -> str:
    """`2 s ago` for an hour, then the clock (`12:58`), then the day (`25 Nov`, `25 Nov 2025`)."""
    seconds = (here.now - moment).total_seconds()
    if 0 <= seconds < _HOUR:
        return f"{span(seconds)} ago"
    local, today = moment.astimezone(here.zone), here.now.astimezone(here.zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b}" if local.year == today.year else f"{local.day} {local:%b %Y}"


def when(moment: datetime, here: PageClock) -> str:
    """The clock today, else with its day: `16:58`, `Tue 1 Dec, 12:58`, `1 Dec 2025, 12:58`."""
    local, today = moment.astimezone(here.zone), here.now.astimezone(here.zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    if local.year == today.year:
        return f"{local:%a} {local.day} {local:%b, %H:%M}"
    return f"{local.day} {local:%b %Y, %H:%M}"


def full_date(moment: datetime, zone: tzinfo) -> str:
    """`26 Nov 2026`: a day that reads the same whenever it is read."""
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b %Y}"


def full_moment(moment: datetime, zone: tzinfo) -> str:
    """`26 Nov 2026, 14:32`: a moment that reads the same whenever it is read."""
    return f"{full_date(moment, zone)}, {moment.astimezone(zone):%H:%M}"


def number(value: float | None, digits: int = 0) -> str:
    """`1,284`, `−4.2`; a dash for what is missing."""
    return MISSING if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 1) -> str:
    """`+8.6`, `−4.2`, `0.0`; a dash for what is missing."""
    if value is None:
        return MISSING
    rounded = round(value, digits) + 0.0
    return number(rounded, digits) if rounded == 0 else f"{rounded:+,.{digits}f}".replace("-", MINUS)


def percent(part: float | None, digits: int = 0) -> str:
    """`87%` of a part of 1."""
    return MISSING if part is None else f"{number(part * 100, digits)}%"


def amount(value: Decimal) -> str:
    """A price: `1,200`, `59.90`; as many decimals as it came with where two are too few."""
    if value == value.to_integral_value():
        return f"{value:,.0f}"
    places = max(2, -int(value.normalize().as_tuple().exponent))
    return f"{value:,.{places}f}"


def _here(context: Context) -> PageClock:
    store = context.get("store")
    return PageClock(context["now"], store.zone if store else ZoneInfo("UTC"))


def _tag(moment: datetime | None, text: str, here: PageClock) -> Markup:
    if moment is None:
        return escape(MISSING)
    exact = moment.astimezone(here.zone)
    title = f"{exact.day} {exact:%b %Y, %H:%M:%S} {here.zone.key}"
    stamp = moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, title, text)


@pass_context
def ago_tag(context: Context, moment: datetime | None) -> Markup:
    """An element `<time>` that shows how long ago a moment is; a dash for None."""
    here = _here(context)
    return _tag(moment, ago(moment, here) if moment else "", here)


@pass_context
def when_tag(context: Context, moment: datetime | None) -> Markup:
    """An element `<time>` that shows a moment, for the future and for histories; a dash for None."""
    here = _here(context)
    return _tag(moment, when(moment, here) if moment else "", here)


FUNCTIONS: dict[str, Any] = {
    "ago": ago_tag,
    "when": when_tag,
    "span": span,
    "number": number,
    "signed": signed,
    "percent": percent,
}
"""The functions that every template can call."""
