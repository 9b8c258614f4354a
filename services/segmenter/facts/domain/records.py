"""What the events said about one thing, merged so that neither order nor repetition of them matters.

A record is what is stored. Each has a method for each event about it, which returns the record after the
event and how the event ended. The rules are those of the product's contract:

- Two originals under one id: the lowest `ce_id` counts, the other is a conflict that stays visible.
- Which amended score counts, says `shared.feedback.revisions`. A retraction is final.
- What comes before its original is kept, and counts when that comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, Self, TypeVar

from shared.feedback import revisions
from shared.feedback.revisions import Revision


class Outcome(StrEnum):
    """How an event about a fact ended."""

    OK = "ok"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"


class _Original(Protocol):
    @property
    def ce_id(self) -> str: ...

    @property
    def content(self) -> object:
        """What two deliveries of the same thing have in common."""


_O = TypeVar("_O", bound=_Original)


def first_of(known: _O | None, other: _O) -> tuple[_O, Outcome]:
    """Of two originals under one id the one that counts (lowest `ce_id`), and how the `other` one ended."""
    if known is None:
        return other, Outcome.OK
    outcome = Outcome.DUPLICATE if known.content == other.content else Outcome.CONFLICT
    return (other if other.ce_id < known.ce_id else known), outcome


@dataclass(frozen=True, slots=True)
class Placed:
    ce_id: str
    ref: str
    at: datetime
    value: Decimal
    currency: str

    @property
    def content(self) -> object:
        return self.ref, self.at, self.value, self.currency


@dataclass(frozen=True, slots=True)
class Delivered:
    ce_id: str
    at: datetime

    @property
    def content(self) -> object:
        return self.at


@dataclass(frozen=True, slots=True)
class Refunded:
    ce_id: str
    at: datetime
    amount: Decimal
    currency: str

    @property
    def content(self) -> object:
        return self.at, self.amount, self.currency


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order with its delivery and its refunds, by refund id. Without `placed` the rest is parked."""

    placed: Placed | None = None
    delivered: Delivered | None = None
    refunds: Mapping[str, Refunded] = field(default_factory=dict)
    conflict: bool = False

    @property
    def ref(self) -> str | None:
        return self.placed.ref if self.placed else None

    def place(self, placed: Placed) -> tuple[Self, Outcome]:
        first, outcome = first_of(self.placed, placed)
        return replace(self, placed=first, conflict=self.conflict or outcome is Outcome.CONFLICT), outcome

    def deliver(self, delivered: Delivered) -> tuple[Self, Outcome]:
        first, outcome = first_of(self.delivered, delivered)
        return replace(self, delivered=first, conflict=self.conflict or outcome is Outcome.CONFLICT), outcome

    def refund(self, refund_id: str, refunded: Refunded) -> tuple[Self, Outcome]:
        """A refund id names one refund of this order; another order may use the same id."""
        first, outcome = first_of(self.refunds.get(refund_id), refunded)
        refunds = dict(sorted({**self.refunds, refund_id: first}.items()))
        conflict = self.conflict or outcome is Outcome.CONFLICT
        return replace(self, refunds=refunds, conflict=conflict), outcome


class Kind(StrEnum):
    """What a fact is about."""

    ANSWER = "answer"
    ORDER = "order"
    ENGAGEMENT = "engagement"
    CASE = "case"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class Submitted:
    """An answer as it came. `ref` is None unless the respondent may be known (identity `identified`)."""

    ce_id: str
    fingerprint: str
    ref: str | None
    metric: str
    scale: str
    score: int
    at: datetime
    touchpoint: str | None
    test: bool
    verified: bool

    @property
    def content(self) -> object:
        return self.fingerprint


@dataclass(frozen=True, slots=True)
class Rescored:
    """An amended score."""

    revision: int
    ce_id: str
    score: int


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """An answer with its amended scores.

    `said`: the original, by the name that it has in the stored JSON; None: it has not arrived. `revisions`:
    the amended scores that can still count. `rescored`: the one that counts, which is all that the release
    before this one knew.
    """

    said: Submitted | None = None
    rescored: Rescored | None = None
    retracted: bool = False
    conflict: bool = False
    revisions: tuple[Revision, ...] = ()

    @property
    def ref(self) -> str | None:
        return self.said.ref if self.said else None

    @property
    def score(self) -> int | None:
        """The score that counts now; None while only an amendment is known."""
        if self.said is None:
            return None
        present = revisions.present(self.said, self._scores()).get("score")
        return self.said.score if present is None else int(present.value)

    @property
    def refused(self) -> int:
        """How many of the amended scores are impossible."""
        return len(revisions.refused(self.said, self._scores())) if self.said else 0

    def submitted(self, original: Submitted) -> tuple[Self, Outcome]:
        first, outcome = first_of(self.said, original)
        conflict = self.conflict or outcome is Outcome.CONFLICT
        return self._with(first, self._scores(), conflict=conflict), outcome

    def amended(self, changes: Iterable[Revision]) -> tuple[Self, Outcome]:
        """`changes` is empty for an amendment that leaves the score alone."""
        changes = tuple(changes)
        if not changes:
            return self, Outcome.OK
        known = self._scores()
        merged = revisions.merged(known, changes, self.said)
        if merged is known:
            return self, Outcome.DUPLICATE
        impossible = self.said is not None and revisions.refused(self.said, changes)
        changed = self._with(self.said, merged, conflict=self.conflict)
        return changed, Outcome.REFUSED if impossible else Outcome.OK

    def _scores(self) -> tuple[Revision, ...]:
        """The amended scores, also one that the release before stored."""
        older = self.rescored
        if older is None or any(revision.ce_id == older.ce_id for revision in self.revisions):
            return self.revisions
        stored = Revision("score", older.revision, older.ce_id, older.score)
        return revisions.merged(self.revisions, [stored], self.said)

    def _with(self, said: Submitted | None, known: tuple[Revision, ...], *, conflict: bool) -> Self:
        """The record with this original and these amended scores."""
        counting = known[-1] if known else None
        if said is not None:
            counting = revisions.present(said, known).get("score")
        rescored = None if counting is None else Rescored(counting.number, counting.ce_id, counting.value)
        return replace(self, said=said, revisions=known, rescored=rescored, conflict=conflict)

    def retract(self) -> tuple[Self, Outcome]:
        return replace(self, retracted=True), Outcome.DUPLICATE if self.retracted else Outcome.OK


@dataclass(frozen=True, slots=True)
class Engaged:
    """`kind` is the sender's word; one that the programme does not know is worth nothing."""

    ce_id: str
    ref: str
    kind: str
    at: datetime

    @property
    def content(self) -> object:
        return self.ref, self.kind, self.at


@dataclass(frozen=True, slots=True)
class EngagementRecord:
    """An engagement; `conflict`: another one came under its id."""

    said: Engaged | None = None
    conflict: bool = False

    @property
    def ref(self) -> str | None:
        return self.said.ref if self.said else None

    def record(self, original: Engaged) -> tuple[Self, Outcome]:
        first, outcome = first_of(self.said, original)
        return replace(self, said=first, conflict=self.conflict or outcome is Outcome.CONFLICT), outcome


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """When a case was opened, closed, and opened again."""

    ref: str | None = None
    opened_at: tuple[datetime, ...] = ()
    closed_at: tuple[datetime, ...] = ()

    def open(self, ref: str | None, at: datetime) -> tuple[Self, Outcome]:
        known = at in self.opened_at
        opened = tuple(sorted({*self.opened_at, at}))
        changed = replace(self, ref=self._whose(ref), opened_at=opened)
        return changed, Outcome.DUPLICATE if known else Outcome.OK

    def close(self, ref: str | None, at: datetime) -> tuple[Self, Outcome]:
        known = at in self.closed_at
        closed = tuple(sorted({*self.closed_at, at}))
        changed = replace(self, ref=self._whose(ref), closed_at=closed)
        return changed, Outcome.DUPLICATE if known else Outcome.OK

    def _whose(self, ref: str | None) -> str | None:
        """The customer of the case. Should two events differ, the choice does not depend on their order."""
        return min((r for r in (self.ref, ref) if r is not None), default=None)

    def spells(self) -> list[tuple[datetime, datetime | None]]:
        """The times during which the case was open: (from, until), the last perhaps without an end."""
        moments = sorted([(at, 0) for at in self.opened_at] + [(at, 1) for at in self.closed_at])
        spells: list[tuple[datetime, datetime | None]] = []
        since: datetime | None = None
        for at, closes in moments:
            if closes and since is not None:
                spells.append((since, at))
                since = None
            elif not closes and since is None:
                since = at
        return [*spells, (since, None)] if since is not None else spells


@dataclass(frozen=True, slots=True)
class OverrideRecord:
    """Somebody set the tier by hand. `by` is the id of the key that was used."""

    ref: str
    tier: str
    until: datetime
    reason: str
    at: datetime
    by: str


Record = AnswerRecord | OrderRecord | EngagementRecord | CaseRecord | OverrideRecord

EMPTY: Mapping[Kind, Record] = {
    Kind.ANSWER: AnswerRecord(),
    Kind.ORDER: OrderRecord(),
    Kind.ENGAGEMENT: EngagementRecord(),
    Kind.CASE: CaseRecord(),
}
"""The record of each kind before the first event about it."""


def names_customer(record: Record) -> bool:
    """Whether the store's own server named the customer of the record by it."""
    match record:
        case OrderRecord() | EngagementRecord():
            return record.ref is not None
        case AnswerRecord(said=original):
            return original is not None and original.ref is not None and original.verified
    return False


def anonymous(record: Record, ref: str) -> Record:
    """The record of an erased person: it counts as before, and belongs to the surrogate `ref`."""
    match record:
        case AnswerRecord(said=original) if original:
            return replace(record, said=replace(original, ref=ref))
        case OrderRecord(placed=placed) if placed:
            refunds = {str(n): refund for n, refund in enumerate(record.refunds.values(), 1)}
            return replace(record, placed=replace(placed, ref=ref), refunds=refunds)
        case EngagementRecord(said=original) if original:
            return replace(record, said=replace(original, ref=ref))
        case CaseRecord():
            return replace(record, ref=ref)
        case OverrideRecord():
            return replace(record, ref=ref, reason="")
        case _:
            return record
