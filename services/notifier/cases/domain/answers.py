"""One answer from all that is known of it, in whatever order it became known.

An answer is the fold of a *set* of revisions, so the order of arrival and repeats cannot matter. Which body
and which later values count, says `shared.feedback.revisions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from shared.feedback import revisions
from shared.feedback.metrics import Group, Polarity, scale_for

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
    """A whole answer, as one event told it. `fingerprint` tells the bodies of one answer apart."""

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
    fingerprint: str = ""

    @property
    def ce_id(self) -> str:
        """The id of its event, by the name that the rule of revisions has for it."""
        return self.id


@dataclass(frozen=True, slots=True)
class Amended:
    """Only the fields that changed. `of`, `metric` and `scale` say what it may change, as in a revision."""

    id: str
    received_at: datetime
    revision: int
    score: int | None = None
    comment: str | None = None
    complete: bool | None = None
    follow_ups: tuple[tuple[str, object], ...] | None = None
    of: str | None = None
    metric: str | None = None
    scale: str | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that it changes, by their names in events."""
        fields = {
            "score": self.score,
            "comment": self.comment,
            "complete": self.complete,
            "answers": self.follow_ups,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def revisions(self) -> list[revisions.Revision]:
        """A revision for each of them."""
        return revisions.revisions(
            self.changes,
            number=self.revision,
            ce_id=self.id,
            of=self.of,
            metric=self.metric,
            scale=self.scale,
        )


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
    refused: int = 0
    """How many of the amended scores are impossible."""

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


def fold(response_id: str, known: Iterable[Revision]) -> Answer | None:
    """The answer, or None while its original is unknown.

    An original that lost to another is left out with all that was only meant for it. Raises FeedbackError for
    an original that no scale fits.
    """
    in_order = sorted(known, key=lambda revision: revision.id)
    bodies = [revision for revision in in_order if isinstance(revision, Submitted)]
    if not bodies:
        return None
    body = revisions.first(bodies)
    amendments = [amended for amended in in_order if isinstance(amended, Amended)]
    changes = [(amended, amended.revisions()) for amended in amendments]
    possible = [
        (amended, {r.field: r.value for r in fields if revisions.may_change(r, body)})
        for amended, fields in changes
    ]
    merged = revisions.merged((), [r for _, fields in changes for r in fields], body)
    present = revisions.present(body, merged)
    scale = scale_for(body.metric, body.scale)
    scores = [(body.score, body.received_at)]
    scores += [(fields["score"], a.received_at) for a, fields in possible if "score" in fields]
    lows = [(score, at) for score, at in scores if scale.group_of(score) is Group.DETRACTOR]
    comments = [body.comment, *(fields.get("comment") for _, fields in possible)]
    wishes = [body.follow_ups, *(fields.get("answers", ()) for _, fields in possible)]

    def now(name: str, submitted: Any) -> Any:
        return present[name].value if name in present else submitted

    return Answer(
        response_id=response_id,
        body=body,
        score=now("score", body.score),
        comment=now("comment", body.comment),
        settled=now("complete", body.complete) or any(comments[1:]),
        retracted=any(isinstance(revision, Retracted) for revision in in_order),
        low_scores=tuple(sorted({score for score, _ in lows})),
        low_since=min((at for _, at in lows), default=None),
        follow_ups=now("answers", body.follow_ups),
        scores=tuple(sorted({score for score, _ in scores})),
        comments=tuple(sorted({comment for comment in comments if comment})),
        wants_contact=any(asks_for_contact(follow_ups) for follow_ups in wishes),
        refused=len(revisions.refused(body, merged)),
    )


_MOST_COMMENTS: Final = 5
_MOST_FIRSTS: Final = 40


def fields_that_count(body: Submitted | None, amendments: Iterable[Amended]) -> dict[str, set[str]]:
    """What the fold of an answer rests on, of many amendments: by their ids, the fields that are needed.

    These are what each field says now or may say for another body, each possible score at its first time,
    the first wish to be called, and the first comments, by which rules and search go on judging the answer.
    `body` is None while it is unknown.
    """
    in_order = sorted(amendments, key=lambda amended: (amended.received_at, amended.id))
    needed: dict[str, set[str]] = {amended.id: set() for amended in in_order}
    changes = [revision for amended in in_order for revision in amended.revisions()]
    for revision in revisions.merged((), changes, body):
        needed[revision.ce_id].add(revision.field)
    firsts: set[object] = set()
    for revision in changes:
        if body is not None and not revisions.may_change(revision, body):
            continue
        first = _first(revision, comments=sum(isinstance(known, str) for known in firsts))
        if first is not None and first not in firsts and len(firsts) < _MOST_FIRSTS:
            firsts.add(first)
            needed[revision.ce_id].add(revision.field)
    return needed


def _first(revision: revisions.Revision, *, comments: int) -> object:
    """What must be remembered of a revision, though a later one counts; None for nothing."""
    match revision.field:
        case "score":
            return (revision.value, revision.of, revision.metric, revision.scale)
        case "comment" if comments < _MOST_COMMENTS:
            return revision.value
        case "answers" if asks_for_contact(revision.value):
            return ("contact", revision.of)
    return None


def asks_for_contact(follow_ups: Iterable[tuple[str, object]]) -> bool:
    """Whether the customer said yes to "please contact me"."""
    return any(
        question in _CONTACT_QUESTIONS
        and (value is True or (isinstance(value, str) and value.strip().casefold() in _YES))
        for question, value in follow_ups
    )


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
