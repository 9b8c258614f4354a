"""One answer with its revisions, and which answer of a respondent is the latest.

Revisions are merged so that their order of arrival does not matter.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from shared.feedback import revisions
from shared.feedback.identity import is_erased
from shared.feedback.metrics import Group
from shared.feedback.revisions import Revision

TEXTS = ("comment", "answers")
"""What people wrote in their own words."""

_COUNTING = (
    *("store", "response_id", "received_at", "key_id", "fingerprint", "metric", "scale", "score"),
    *("answered_at", "complete", "touchpoint", "channel", "test", "historical", "identity", "verified"),
)


class Outcome(StrEnum):
    """How an event about an answer ended."""

    OK = "ok"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"


class Contribution(NamedTuple):
    """What an answer adds to every one of its series on one day, and the instant at which it does.

    `hour` is that of `at`, since 1970.
    """

    series: tuple[int, ...]
    day: date
    group: Group
    score: int
    at: datetime
    hour: int


class Body(NamedTuple):
    """A submitted answer, as far as counting needs it. `raw` is its JSON as it came."""

    ce_id: str
    fingerprint: str
    metric: str
    scale: str
    score: int
    answered_at: datetime
    respondent: str | None
    test: bool
    touchpoint: str | None
    segments: Mapping[str, str]
    channel: str
    received_at: datetime
    raw: bytes
    confidential: bool = False


def anonymous(answer: Mapping[str, Any], respondent: str, dimensions: Container[str]) -> dict[str, Any]:
    """The JSON of a submitted answer as an erasure leaves it: what counting needs, and nothing personal.

    `respondent` is the surrogate that it belongs to now. Only the segments in `dimensions`, which the store
    has declared, stay: a client may have written anything into the others.
    """
    kept = {name: answer[name] for name in _COUNTING if name in answer}
    segments = {name: value for name, value in (answer.get("segments") or {}).items() if name in dimensions}
    return kept | {"customer": {"ref": respondent}, "segments": segments}


@dataclass(slots=True)
class Answer:
    """All that is known under one response id.

    `body`: the submission that counts; None while only amendments or a retraction arrived.
    `revisions`: what amendments changed, as far as it can still count.
    `counted` and `latest`: what the buckets hold for this answer.
    `rivals`: the fingerprints of bodies that lost to `body`; `new_rivals`: those that lost since it was read.
    `stored`: it has a row; `changed`: that row does not hold what is known now.
    """

    store: str
    response_id: str
    body: Body | None = None
    revisions: tuple[Revision, ...] = ()
    retracted: bool = False
    counted: Contribution | None = None
    latest: bool = False
    rivals: frozenset[str] = frozenset()
    new_rivals: tuple[Body, ...] = ()
    stored: bool = False
    changed: bool = False

    def submit(self, body: Body) -> Outcome:
        """Merge a submission. Of two bodies under one id the lowest `ce_id` wins, the other is kept as a
        rival."""
        mine = self.body
        if mine is None or body.ce_id < mine.ce_id:
            self.body = body
            self.changed = True
        if mine is None:
            return Outcome.OK
        if body.fingerprint == mine.fingerprint:
            return Outcome.DUPLICATE
        winner, loser = (body, mine) if self.body is body else (mine, body)
        known = loser.fingerprint in self.rivals
        self.rivals = self.rivals - {winner.fingerprint} | {loser.fingerprint}
        if not known:
            self.new_rivals = (*self.new_rivals, loser)
        return Outcome.DUPLICATE if known else Outcome.CONFLICT

    def amend(self, changes: Iterable[Revision]) -> Outcome:
        """Merge an amendment, by the rule of `shared.feedback.revisions`."""
        changes = tuple(changes)
        merged = revisions.merged(self.revisions, changes, self.body)
        if merged is self.revisions:
            return Outcome.DUPLICATE
        self.revisions = merged
        self.changed = True
        return Outcome.REFUSED if self.body and revisions.refused(self.body, changes) else Outcome.OK

    def retract(self) -> Outcome:
        """Take the answer back for good: nothing that arrives later makes it count again."""
        if self.retracted:
            return Outcome.DUPLICATE
        self.retracted = self.changed = True
        return Outcome.OK

    @property
    def erased(self) -> bool:
        """Whether its respondent was erased: the body belongs to a surrogate."""
        return self.body is not None and is_erased(self.body.respondent)

    def belongs_to(self, respondent: str) -> None:
        """Count the submission as another respondent's. Raises ValueError while there is none."""
        if self.body is None:
            raise ValueError("an answer without a body belongs to nobody")
        self.body = self.body._replace(respondent=respondent)
        self.changed = True

    def forget(self, body: Body) -> None:
        """Erase the respondent: `body` is what is left of the submission."""
        self.body = body
        self.changed = True
        self.forget_texts()

    def forget_texts(self) -> None:
        """Drop the words of every amendment, but keep that the fields were amended."""
        wordless = tuple(r._replace(value=None) if r.field in TEXTS else r for r in self.revisions)
        if wordless != self.revisions:
            self.revisions = wordless
            self.changed = True

    @property
    def amended(self) -> dict[str, Revision]:
        """The revision that counts of each amended field; before the submission is known, the highest."""
        if self.body is None:
            return {revision.field: revision for revision in self.revisions}
        return revisions.present(self.body, self.revisions) if self.revisions else {}

    @property
    def refused(self) -> int:
        """How many of its amended fields are impossible."""
        return len(revisions.refused(self.body, self.revisions)) if self.body and self.revisions else 0

    @property
    def counts(self) -> bool:
        """Whether it belongs in any score: submitted, not retracted, and no test."""
        return self.body is not None and not self.retracted and not self.body.test

    @property
    def score(self) -> int | None:
        """The amended score, if it is possible, else the submitted one."""
        if self.body is None:
            return None
        amended = self.amended.get("score")
        return self.body.score if amended is None else int(amended.value)


def settle_latest(answers: Iterable[Answer]) -> None:
    """Set `latest` on the last answer of each respondent, metric and scale among these, and on no other.

    The policy `latest` counts only those. `answers` must hold, for each respondent in it, the answer that was
    latest before. An answer without a respondent is always the latest. Two answers of the same instant: the
    higher response id is the later one, so the order of arrival never decides.
    """
    last: dict[tuple[str, str, str, str], Answer] = {}
    for answer in answers:
        body = answer.body
        if not answer.counts or body is None:
            answer.latest = False
        elif body.respondent is None:
            answer.latest = True
        else:
            answer.latest = False
            key = (answer.store, body.respondent, body.metric, body.scale)
            rival = last.get(key)
            if rival is None or _order(rival) < _order(answer):
                last[key] = answer
    for answer in last.values():
        answer.latest = True


def _order(answer: Answer) -> tuple[object, str]:
    assert answer.body is not None  # noqa: S101 - only answers with a body are compared
    return (answer.body.answered_at, answer.response_id)
