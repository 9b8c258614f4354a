"""What a clock says: how long there is still, or how it went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.case import Case, Status
from services.notifier.cases.domain.clocks import Clock
from shared.pages.wording import PageClock, span, when

_SOON = timedelta(hours=1)
_NEAR = timedelta(hours=4)
_WEEK = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class ClockShown:
    """`kind`: due, soon, over, met, late or paused, as in `parts.html`. `at`: when it ends, if it runs.

    `ticks`: the text counts minutes, so the script of the page keeps it right.
    """

    kind: str
    text: str
    at: datetime | None = None
    ticks: bool = False


@dataclass(frozen=True, slots=True)
class ClockBar:
    """One clock of a case on its page; `used` is a part of 1."""

    name: str
    clock: ClockShown
    due_at: datetime
    used: float


def list_clock(case: Case, now: datetime, zone: ZoneInfo) -> ClockShown:
    """The one clock that matters: what runs out first, else how the first contact went."""
    if not case.live or case.status is Status.RESOLVED:
        return _ended(case, now, zone)
    due = case.due_at
    if case.first_contact_at is None and due is not None:
        return running(due, now, zone)
    if case.status is Status.SNOOZED:
        return _paused(case, now, zone)
    if case.resolve_due_at - now < _SOON:
        return running(case.resolve_due_at, now, zone)
    return _contacted(case)


def bars(case: Case, clock: Clock, now: datetime, zone: ZoneInfo) -> tuple[ClockBar, ClockBar]:
    """Both clocks of a case, counted by its own clock."""
    first = _contacted(case) if case.first_contact_at else countdown(case.first_contact_due_at, now)
    if not case.live and case.first_contact_at is None:
        first = ClockShown("paused", "Nobody was contacted")
    if not case.live or case.status is Status.RESOLVED:
        second = _ended(case, now, zone)
    elif case.status is Status.SNOOZED:
        second = _paused(case, now, zone)
    else:
        second = countdown(case.resolve_due_at, now)
    began = case.clock_from or case.opened_at
    until = case.snoozed_at if case.status is Status.SNOOZED and case.snoozed_at else now
    return (
        ClockBar(
            "First contact",
            first,
            case.first_contact_due_at,
            _used(clock, began, case.first_contact_at or case.closed_at or now, case.first_contact_due_at),
        ),
        ClockBar(
            "Resolution",
            second,
            case.resolve_due_at,
            _used(
                clock,
                case.resolve_from or began,
                case.resolved_at or case.closed_at or until,
                case.resolve_due_at,
            ),
        ),
    )


def running(due: datetime, now: datetime, zone: ZoneInfo) -> ClockShown:
    """Counts the time of what is near, and says the day of what is not."""
    left = due - now
    local, today = due.astimezone(zone).date(), now.astimezone(zone).date()
    if left < _NEAR or local == today:
        return countdown(due, now)
    return ClockShown("due", f"Due {day_and_time(due, now, zone)}", due)


def countdown(due: datetime, now: datetime) -> ClockShown:
    left = due - now
    if left < timedelta():
        return ClockShown("over", f"Overdue {span(-left)}", due, ticks=True)
    return ClockShown("soon" if left < _SOON else "due", f"Due in {span(left)}", due, ticks=True)


def day_and_time(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`today 16:58`, `tomorrow, 10:00`, `Mon, 12:00`, `Tue 1 Dec, 12:58`."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    if days == 0:
        return f"today {local:%H:%M}"
    if days == 1:
        return f"tomorrow, {local:%H:%M}"
    if 0 < days <= _WEEK.days:
        return f"{local:%a, %H:%M}"
    return when(at, PageClock(now, zone))


def _paused(case: Case, now: datetime, zone: ZoneInfo) -> ClockShown:
    until = case.snoozed_until or now
    return ClockShown("paused", f"Snoozed to {day_and_time(until, now, zone)}", until)


def _contacted(case: Case) -> ClockShown:
    if case.first_contact_at is not None and case.first_contact_at > case.first_contact_due_at:
        return ClockShown("late", f"Contacted {span(case.first_contact_at - case.first_contact_due_at)} late")
    took: float | timedelta | None = case.first_contact_seconds
    if took is None and case.first_contact_at is not None:
        took = case.first_contact_at - (case.clock_from or case.opened_at)
    return ClockShown("met", f"Contacted in {span(took)}")


def _ended(case: Case, now: datetime, zone: ZoneInfo) -> ClockShown:
    if case.status is Status.DISMISSED:
        return ClockShown("paused", "Dismissed")
    ended_at = case.resolved_at or case.closed_at
    if ended_at is not None and ended_at > case.resolve_due_at:
        return ClockShown("late", f"Resolved {span(ended_at - case.resolve_due_at)} late")
    took: float | timedelta | None = case.resolve_seconds
    if took is None and ended_at is not None:
        took = ended_at - (case.resolve_from or case.opened_at)
    return ClockShown("met", f"Resolved in {span(took)}")


def _used(clock: Clock, start: datetime, end: datetime, due: datetime) -> float:
    whole = clock.worked(start, due)
    if whole <= timedelta():
        return 1.0
    return min(1.0, clock.worked(start, end) / whole)
