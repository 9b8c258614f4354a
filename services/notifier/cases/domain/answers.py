"""One answer from all that is known of it, in whatever order it became known.

An answer is the fold of a *set* of revisions, so the order of arrival and repeats cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from shared.feedback.metrics import Group, Polarity, scale_for

T = TypeVar("T")

OLD_AFTER: Final = timedelta(hours=24)
"""An answer that took longer to reach us is history: it counts, and alerts nobody."""

COMMENT_WAIT: Final = timedelta(seconds=90)
"""How long the alert of an answer waits for the comment that the sender announced."""

_CONTACT_QUESTIONS: Final = frozenset({"contact_me", "wants_contact"})
_YES: Final = frozenset({"yes", "true"})


@dataclass(frozen=True, slots=True)
class Person:
    """`ref` names the customer everywhere; the rest is personal."""

    ref: str
    id: str | None = None
    email: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A whole answer, as one event told it."""

    id: str
    received_at: datetime
    answered_at: datetime
    metric: str
    scale: str
    score: int
    person: Person
    verified: bool = True
    comment: str | None = None
    complete: bool = True
    touchpoint: str | None = None
    channel: str = "api"
    order_id: str | None = None
    order_value: Decimal | None = None
    currency: str | None = None
    segments: tuple[tuple[str, str], ...] = ()
    follow_ups: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Amended:
    """Only the fields that changed."""

    id: str
    received_at: datetime
    revision: int
    score: int | None = None
    comment: str | None = None
    complete: bool | None = None
    follow_ups: tuple[tuple[str, object], ...] | None = None


@dataclass(frozen=True, slots=True)
class Retracted:
    """Final."""

    id: str
    received_at: datetime


Revision = Submitted | Amended | Retracted


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says now, and every unfavourable score that it ever had."""

    response_id: str
    body: Submitted
    score: int
    comment: str | None
    settled: bool
    """No comment is to be waited for any more."""
    retracted: bool
    low_scores: tuple[int, ...]
    low_since: datetime | None
    """When the first unfavourable score reached us: the clocks of a case run from here."""
    follow_ups: tuple[tuple[str, object], ...] = field(default=())
    scores: tuple[int, ...] = ()
    """Every score that it ever had."""
    comments: tuple[str, ...] = ()
    """Every comment that it ever had."""
    wants_contact: bool = False
    """The customer asked to be called, at any time."""

    @property
    def since(self) -> datetime:
        """When the clocks of its case start."""
        return self.low_since or self.body.received_at

    @property
    def matters(self) -> tuple[int, ...]:
        """The scores by which rules judge it: the unfavourable ones, if it ever had any."""
        return self.low_scores or self.scores

    @property
    def group(self) -> Group:
        return scale_for(self.body.metric, self.body.scale).group_of(self.score)

    @property
    def alert_at(self) -> datetime:
        """The earliest moment for its alert."""
        return self.body.received_at if self.settled else self.body.received_at + COMMENT_WAIT


def vouched(answers: Sequence[Answer]) -> Answer | None:
    """The last answer whose customer the store vouches for, else the last one: it says whom to write to.

    Anybody who knows a customer's id can claim it in a browser, with an e-mail address of their own.
    """
    return next(
        (answer for answer in reversed(answers) if answer.body.verified), answers[-1] if answers else None
    )


def opens(
    *, test: bool, historical: bool, identified: bool, answered_at: datetime, received_at: datetime
) -> bool:
    """Whether an answer may open a case at all: real, fresh, and by somebody we may write to."""
    return identified and not test and not historical and received_at - answered_at <= OLD_AFTER


def fold(response_id: str, revisions: Iterable[Revision]) -> Answer | None:
    """The answer, or None while its original is unknown.

    Two originals: the one with the lowest id is the answer. Each field keeps the value of the amendment
    with the highest (revision, id). A score that the scale does not have is not one.
    Raises FeedbackError for an original that no scale fits.
    """
    in_order = sorted(revisions, key=lambda revision: revision.id)
    bodies = [revision for revision in in_order if isinstance(revision, Submitted)]
    amendments = sorted(
        (revision for revision in in_order if isinstance(revision, Amended)),
        key=lambda amended: (amended.revision, amended.id),
    )
    if not bodies:
        return None
    body = bodies[0]
    contents: list[Submitted | Amended] = [*bodies, *amendments]
    scale = scale_for(body.metric, body.scale)
    scores = [(a.score, a.received_at) for a in amendments if a.score is not None and scale.is_valid(a.score)]
    lows = [(s, at) for s, at in scores if scale.group_of(s) is Group.DETRACTOR]
    lows += [(rival.score, rival.received_at) for rival in bodies if _is_low(rival)]
    return Answer(
        response_id=response_id,
        body=body,
        score=_last([score for score, _ in scores], body.score),
        comment=_last([a.comment for a in amendments], body.comment),
        settled=_last([a.complete for a in amendments], body.complete) or any(a.comment for a in amendments),
        retracted=any(isinstance(revision, Retracted) for revision in in_order),
        low_scores=tuple(sorted({score for score, _ in lows})),
        low_since=min((at for _, at in lows), default=None),
        follow_ups=_last([a.follow_ups for a in amendments], body.follow_ups),
        scores=tuple(sorted({s for s, _ in scores} | {rival.score for rival in bodies})),
        comments=tuple(sorted({r.comment for r in contents if r.comment})),
        wants_contact=any(asks_for_contact(r.follow_ups or ()) for r in contents),
    )


def asks_for_contact(follow_ups: Iterable[tuple[str, object]]) -> bool:
    """Whether the customer said yes to "please contact me"."""
    return any(
        question in _CONTACT_QUESTIONS
        and (value is True or (isinstance(value, str) and value.strip().casefold() in _YES))
        for question, value in follow_ups
    )


def _is_low(body: Submitted) -> bool:
    return scale_for(body.metric, body.scale).group_of(body.score) is Group.DETRACTOR


def _last(values: Iterable[T | None], otherwise: T) -> T:
    """The last value that is one."""
    for value in values:
        if value is not None:
            otherwise = value
    return otherwise


# What a customer answered before.


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """One known answer of a customer, as it is now."""

    response_id: str
    metric: str
    scale: str
    score: int
    group: Group
    answered_at: datetime


def fall(answer: Answer, score: int, past_answers: Iterable[PastAnswer]) -> int | None:
    """By how many points of its scale this score is worse than the customer's last answer before it.

    Negative: it is better. None: there was no answer of the same metric and scale before.
    """
    body = answer.body
    before = [
        past
        for past in past_answers
        if (past.metric, past.scale) == (body.metric, body.scale)
        and past.response_id != answer.response_id
        and (past.answered_at, past.response_id) < (body.answered_at, answer.response_id)
    ]
    if not before:
        return None
    last = max(before, key=lambda past: (past.answered_at, past.response_id)).score
    worse_is_higher = scale_for(body.metric, body.scale).polarity is Polarity.EFFORT
    return score - last if worse_is_higher else last - score


def latest_group(past_answers: Iterable[PastAnswer]) -> str | None:
    """promoter, passive or detractor: of the answer that was given last."""
    last = max(past_answers, key=lambda past: (past.answered_at, past.response_id), default=None)
    return last.group.name.lower() if last else None
