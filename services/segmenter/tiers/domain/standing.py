"""Where a customer stands, what can happen to a tier, and the sentence that says so to a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Final

from services.segmenter.tiers.domain.programme import Programme


class Reason(StrEnum):
    """Why the tier is what it is; travels into the event, the log, the metric and the stored row."""

    BASE = "base"
    UPGRADE = "upgrade"
    RENEWAL = "renewal"
    RENEWAL_IN_GRACE = "renewal_in_grace"
    GRACE = "grace"
    HOLD = "hold"
    SOFT_LANDING = "soft_landing"
    REFUND = "refund"
    OVERRIDE = "override"
    OVERRIDE_END = "override_end"


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of a customer's tier; `from_tier` equals `to_tier` for a renewal, a grace and a hold."""

    at: datetime
    """UTC: the instant of the fact that caused it, or the local midnight at which time did."""
    from_tier: str
    to_tier: str
    points: int
    reason: Reason
    rule_version: str
    until: date | None
    """The local day at whose start this ends, if nothing comes between; None: it lasts."""
    ends_at: datetime | None = None
    """The moment itself, with the store's offset, of an end that is at no midnight: an override's."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a customer stands; all instants in UTC, those set by time at a local midnight."""

    tier: str
    """The tier to treat the customer by: an override's while it lasts, else the earned one."""
    earned_tier: str
    since: datetime | None
    """When `tier` was last entered from another; None for the base tier from the start."""
    points: int
    next_tier: str | None
    points_to_next: int | None
    points_to_keep: int | None
    """Still missing to keep the earned tier, leaving out points that will have lapsed by then; None: base."""
    expires_at: datetime | None
    grace_until: datetime | None
    held_until: datetime | None
    """The latest end of a hold: closing the case may bring it forward."""
    override_until: datetime | None
    reason: Reason
    sentence: str
    history: tuple[Transition, ...]
    """All transitions, oldest first; the caller cuts it to what it stores."""
    next_check: datetime | None
    """The next instant at which time alone may change the tier: fold again then. None: only a fact can."""
    rule_version: str


_SENTENCES: Final = {
    Reason.BASE: "{to}, where everybody starts.",
    Reason.UPGRADE: "{points} points reach the {enter} of {to}, until {until}.",
    Reason.RENEWAL: "{points} points keep {to} (it takes {keep}), until {until}.",
    Reason.RENEWAL_IN_GRACE: "{points} points, reached in time, keep {to} until {until}.",
    Reason.GRACE: "{points} points do not keep {to}: {missing} more are needed before {until}.",
    Reason.HOLD: "{to} is held until {until} at the latest: a case is open or was just closed.",
    Reason.SOFT_LANDING: "{points} points did not keep {left}: one tier down, to {to}.",
    Reason.REFUND: "A refund on the order that gave {left} leaves {points} points: {to}.",
    Reason.OVERRIDE: "{to} was set by hand, until {until}.",
    Reason.OVERRIDE_END: "What was set by hand has ended: {to} is what was earned.",
}


def sentence(step: Transition, programme: Programme) -> str:
    """The transition for people, with the numbers that decided it."""
    tier = programme.tiers[programme.level_of(step.to_tier) or 0]
    return _SENTENCES[step.reason].format(
        to=step.to_tier,
        left=step.from_tier,
        points=step.points,
        enter=tier.enter,
        keep=tier.keep,
        missing=tier.keep - step.points,
        until=_end(step),
    )


def _end(step: Transition) -> str:
    """The end of a step as people write it: the day, and the time if it is not its start."""
    if step.ends_at is None or step.ends_at.time() == time():
        return str(step.until)
    return step.ends_at.replace(tzinfo=None).isoformat(" ", "seconds")
