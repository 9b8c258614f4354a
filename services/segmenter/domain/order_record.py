"""What the events said about one order; see `records`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Self

from services.segmenter.domain.originals import Outcome, first_of


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
