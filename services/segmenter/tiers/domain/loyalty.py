"""The loyalty tier of one customer: a pure fold of facts in event time.

Time jumps from one thing that can happen to the next. A fact is evaluated at its own instant; time itself
acts at the local midnight that begins a day, before the facts of that day. The rules:

1. An order or an engagement that reaches a higher tier's `enter` upgrades at once, and may skip tiers.
2. A tier is valid for `valid_days`; at its end enough points (`keep`) renew it, else grace begins.
3. Reaching `keep` in grace renews from that day. After grace: one tier down, with a validity of its own.
4. A detractor's case that is open, or closed a short while ago, holds the landing, up to `hold_max_days`.
5. A refund of the order that gave the present tier decides at once, without grace: a refund of all of it
   re-qualifies on `enter`; of a part of it, only when it takes the points below `keep`, and then on `keep`.
   A tier that has been renewed, or landed on, rests on no single order any more: points fall, and that is
   all.
6. An override shows its tier until it ends. What is earned goes on underneath, unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from services.segmenter.tiers.domain.points import PointsWindow
from services.segmenter.tiers.domain.programme import NpsEffect, Programme
from services.segmenter.tiers.domain.standing import Reason, Standing, Transition, sentence
from services.segmenter.tiers.domain.timeline import (
    CaseClosed,
    CaseOpened,
    Change,
    Engagement,
    Fact,
    Order,
    Override,
    Refund,
    changes,
)
from shared.feedback import local_day, start_of_day


def fold(facts: Iterable[Fact], programme: Programme, zone: tzinfo, now: datetime) -> Standing:
    """The standing at `now`. Facts later than now do not count yet, but set `next_check`.

    Any order and any repetition of the facts gives the same standing. Raises ValueError for naive times.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now} has no time zone")
    now = now.astimezone(UTC)
    member, ahead = _Member(programme, zone), None
    for at, change in changes(facts):
        if at > now:
            ahead = at
            break
        member.pass_time(at)
        member.take(at, change)
    member.pass_time(now)
    return member.standing(now, ahead)


class _Member:
    """The running state of one fold; `level` is the index of the earned tier."""

    def __init__(self, programme: Programme, zone: tzinfo) -> None:
        self.programme, self.zone = programme, zone
        self.window = PointsWindow(programme)
        self.level = 0
        self.expires: date | None = None
        self.grace_until: date | None = None
        self.held = False
        self.cases: dict[str, date | None] = {}  # detractor cases: the day of closing
        self.given_by: list[str | None] = [None] * len(programme.tiers)  # the order that lifted to each level
        self.override: tuple[int, datetime] | None = None
        self.history: list[Transition] = []

    @property
    def shown(self) -> int:
        return self.override[0] if self.override else self.level

    def pass_time(self, until: datetime) -> None:
        """Let everything happen that time alone brings about up to and including that instant."""
        while True:
            day = self._due_day()
            due = None if day is None else start_of_day(day, self.zone)
            ends = self.override[1] if self.override else None
            if ends is not None and ends <= until and (due is None or ends <= due):
                self._end_override(ends)
            elif day is not None and due is not None and due <= until:
                self._come_due(due, day)
            else:
                return

    def take(self, at: datetime, change: Change) -> None:
        day = local_day(at, self.zone)
        self.window.move_to(day)
        match change:
            case Order():
                self.window.order(change, day)
                self._rise(at, day, by=change.id)
            case Engagement():
                self.window.engage(change, day)
                self._rise(at, day, by=None)
            case Refund():
                before = self.window.points
                self.window.refund(change)
                self._requalify(at, day, change.order_id, before)
            case CaseOpened(case):
                if case.detractor:
                    self.cases[case.id] = None
            case CaseClosed(case):
                if case.id in self.cases:
                    self.cases[case.id] = day
            case Override():
                self._begin_override(at, change)

    def _due_day(self) -> date | None:
        if not self.level:
            return None
        if self.grace_until is None:
            return self.expires
        return self._hold_end(self.grace_until) if self.held else self.grace_until

    def _hold_end(self, grace_until: date) -> date:
        """The first day on which no case holds the tier; the end of grace if none does."""
        if self.programme.nps_effect is NpsEffect.NONE or not self.cases:
            return grace_until
        after_close = timedelta(days=self.programme.hold_after_close_days)
        end = max(date.max if closed is None else closed + after_close for closed in self.cases.values())
        return max(grace_until, min(end, grace_until + timedelta(days=self.programme.hold_max_days)))

    def _come_due(self, at: datetime, day: date) -> None:
        self.window.move_to(day)
        if self.grace_until is None:
            if self.window.points >= self.programme.tiers[self.level].keep:
                self._settle(at, day, self.level, Reason.RENEWAL)
            else:
                self.grace_until = day + timedelta(days=self.programme.grace_days)
                self._record(at, self.shown, Reason.GRACE, self.grace_until)
        elif (hold_end := self._hold_end(self.grace_until)) > day:
            self.held = True
            self._record(at, self.shown, Reason.HOLD, hold_end)
        else:
            self._settle(at, day, self.level - 1, Reason.SOFT_LANDING)

    def _rise(self, at: datetime, day: date, *, by: str | None) -> None:
        reached = self.programme.level_for(self.window.points)
        if reached > self.level:
            givers = self.given_by[: self.level + 1] + [by] * (reached - self.level)
            self._settle(at, day, reached, Reason.UPGRADE, givers)
        elif self.grace_until is not None and self.window.points >= self.programme.tiers[self.level].keep:
            self._settle(at, day, self.level, Reason.RENEWAL_IN_GRACE)

    def _requalify(self, at: datetime, day: date, order_id: str, before: int) -> None:
        """`before`: the points without this refund. What else took them below `keep` is for the grace."""
        if self.given_by[self.level] != order_id:
            return
        points = self.window.points
        if self.window.wholly_refunded(order_id):
            reached = self.programme.level_for(points)
        elif before >= self.programme.tiers[self.level].keep:
            reached = self.programme.kept_level(points)
        else:
            return
        if reached < self.level:
            self._settle(at, day, reached, Reason.REFUND, self.given_by[: reached + 1])

    def _settle(
        self, at: datetime, day: date, level: int, reason: Reason, given_by: list[str | None] | None = None
    ) -> None:
        """Begin a full validity on that level."""
        before = self.shown
        self.level = level
        self.expires = day + timedelta(days=self.programme.valid_days) if level else None
        self.grace_until, self.held = None, False
        known = given_by or []
        self.given_by = known + [None] * (len(self.programme.tiers) - len(known))
        self._record(at, before, reason, self.expires)

    def _begin_override(self, at: datetime, override: Override) -> None:
        """An override to a tier that the programme no longer has is void."""
        level, until = self.programme.level_of(override.tier), override.until.astimezone(UTC)
        if until <= at:
            self._end_override(at)
        elif level is not None:
            before = self.shown
            self.override = None
            self._record(at, before, Reason.OVERRIDE, local_day(until, self.zone), to=level, ends_at=until)
            self.override = (level, until)

    def _end_override(self, at: datetime) -> None:
        if self.override:
            before = self.shown
            self.override = None
            self.window.move_to(local_day(at, self.zone))
            self._record(at, before, Reason.OVERRIDE_END, self._due_day())

    def _record(
        self,
        at: datetime,
        before: int,
        reason: Reason,
        until: date | None,
        *,
        to: int | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        if self.override:
            return
        tiers = self.programme.tiers
        after = self.level if to is None else to
        self.history.append(
            Transition(
                at,
                tiers[before].name,
                tiers[after].name,
                self.window.points,
                reason,
                self.programme.version,
                until,
                ends_at and _on_the_wall(ends_at, self.zone),
            )
        )

    def standing(self, now: datetime, ahead: datetime | None) -> Standing:
        """The state as a value. Moves the points window to the expiry, so it is the last call."""
        programme, tiers = self.programme, self.programme.tiers
        self.window.move_to(local_day(now, self.zone))
        points, in_grace = self.window.points, self.grace_until is not None
        higher = tiers[self.shown + 1] if self.shown + 1 < len(tiers) else None
        if self.level and self.expires and not in_grace:
            self.window.move_to(self.expires)
        missing = max(0, tiers[self.level].keep - self.window.points) if self.level else None
        expires, grace, held = (
            None if day is None else start_of_day(day, self.zone)
            for day in (
                None if in_grace else self.expires,
                self.grace_until,
                self._hold_end(self.grace_until) if self.held and self.grace_until else None,
            )
        )
        override_until = self.override[1] if self.override else None
        waits = [held or grace or expires, override_until, ahead]
        last = self.history[-1] if self.history else None
        base = Transition(now, tiers[0].name, tiers[0].name, points, Reason.BASE, programme.version, None)
        return Standing(
            tier=tiers[self.shown].name,
            earned_tier=tiers[self.level].name,
            since=next((t.at for t in reversed(self.history) if t.from_tier != t.to_tier), None),
            points=points,
            next_tier=higher.name if higher else None,
            points_to_next=max(0, higher.enter - points) if higher else None,
            points_to_keep=missing,
            expires_at=expires,
            grace_until=grace,
            held_until=held,
            override_until=override_until,
            reason=(last or base).reason,
            sentence=sentence(last or base, programme),
            history=tuple(self.history),
            next_check=min((wait for wait in waits if wait is not None), default=None),
            rule_version=programme.version,
        )


def _on_the_wall(moment: datetime, zone: tzinfo) -> datetime:
    """The moment with the offset that its zone has then: without the zone itself, so that it equals the one
    that is read back from its text."""
    local = moment.astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))
