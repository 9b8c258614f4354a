"""Events that show the one value that matters, and a shop of its own for each test."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from services.segmenter.handlers import handlers
from services.segmenter.tiers import store as tier_store
from services.segmenter.tiers.domain.programme import Programme
from services.segmenter.tiers.domain.ruling import LoyaltyRules, RulesByStore
from services.segmenter.tiers.jobs import fold_due
from shared.db import Database
from shared.events import Envelope, Event, Received
from shared.events.cases import CaseClosed, CaseOpened
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import Customer, Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.feedback import local_day

ZONE = ZoneInfo("Europe/Amsterdam")
ASHA = "a" * 32
BEN = "b" * 32


def milliseconds(moment: datetime) -> int:
    """Since 1970: the least `seq` of what changed then."""
    return int(moment.timestamp() * 1000)


def at(day: str, hour: int = 12) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(hour), ZONE)


NOW = at("2024-07-01")


@dataclass(frozen=True)
class Sent:
    """An event and the id of its envelope."""

    event: Event
    ce_id: str

    def received(self) -> Received:
        envelope = Envelope.of(self.event.type, source="test", event_id=self.ce_id)
        return Received(self.event, envelope, self.event.topic.name, 0, 0, self.event.body())


def answer(
    name: str = "r-1",
    *,
    ce_id: str = "",
    ref: str | None = ASHA,
    score: int = 9,
    when: str = "2024-05-01",
    store: str = "shop",
    **more: Any,
) -> Sent:
    known = {
        "identity": Identity.IDENTIFIED if ref else Identity.ANONYMOUS,
        "customer": Customer(ref=ref, id=f"id-{ref[0]}", email=f"{ref[0]}@example.com") if ref else None,
        "fingerprint": f"{name} {score} {ref}",
        "metric": "nps",
        "scale": "0-10",
        "received_at": at(when),
    }
    event = ResponseSubmitted(
        store=store, response_id=name, score=score, answered_at=at(when), **{**known, **more}
    )
    return Sent(event, ce_id or f"ce-{name}")


def rescore(name: str, score: int | None, *, revision: int = 1, ce_id: str = "") -> Sent:
    event = ResponseAmended(store="shop", response_id=name, received_at=NOW, score=score, revision=revision)
    return Sent(event, ce_id or f"ce-{name}-{revision}")


def retract(name: str) -> Sent:
    return Sent(ResponseRetracted(store="shop", response_id=name, received_at=NOW), f"ce-{name}-gone")


def order(
    name: str,
    value: str | int,
    when: str = "2024-05-01",
    *,
    ref: str = ASHA,
    ce_id: str = "",
    currency: str = "EUR",
    person: str | None = None,
    customer: Customer | None = None,
) -> Sent:
    if customer is None:
        customer = Customer(ref=ref, id=f"id-{ref[0]}", email=f"{ref[0]}@example.com", name=person)
    event = OrderPlaced(
        store="shop",
        order_id=name,
        received_at=at(when),
        placed_at=at(when),
        value=Decimal(value),
        currency=currency,
        customer=customer,
    )
    return Sent(event, ce_id or f"ce-{name}")


def deliver(name: str, when: str = "2024-05-03") -> Sent:
    event = OrderDelivered(store="shop", order_id=name, received_at=at(when), delivered_at=at(when))
    return Sent(event, f"ce-{name}-delivered")


def refund(
    order_name: str, amount: str | int, when: str = "2024-05-06", *, name: str = "f-1", ce_id: str = ""
) -> Sent:
    event = OrderRefunded(
        store="shop",
        order_id=order_name,
        received_at=at(when),
        refund_id=name,
        refunded_at=at(when),
        amount=Decimal(amount),
        currency="EUR",
    )
    return Sent(event, ce_id or f"ce-{order_name}-{name}")


def engage(name: str, kind: str, when: str = "2024-05-01", *, ref: str = ASHA) -> Sent:
    event = EngagementRecorded(
        store="shop",
        engagement_id=name,
        kind=kind,
        engaged_at=at(when),
        received_at=at(when),
        customer=Customer(ref=ref, id=f"id-{ref[0]}"),
    )
    return Sent(event, f"ce-{name}")


def opened(name: str, when: str, *, ref: str | None = ASHA, reopened: bool = False) -> Sent:
    event = CaseOpened(
        store="shop", case_id=name, at=at(when), customer_ref=ref, response_id="r-1", reopened=reopened
    )
    return Sent(event, f"ce-{name}-{when}-opened")


def closed(name: str, when: str, *, ref: str | None = ASHA) -> Sent:
    event = CaseClosed(store="shop", case_id=name, at=at(when), customer_ref=ref, status="closed")
    return Sent(event, f"ce-{name}-{when}-closed")


def event_time(sent: Sent) -> datetime:
    event = sent.event
    names = ("placed_at", "delivered_at", "refunded_at", "engaged_at", "answered_at", "at", "received_at")
    return next(getattr(event, name) for name in names if hasattr(event, name))


@dataclass
class Shop:
    """The handlers over a store that no other test uses. Events for `shop` go to it."""

    database: Database
    store: str
    programme: Programme = field(default_factory=lambda: Programme(currency="EUR", version="2024-01"))
    now: datetime = NOW

    @property
    def rules_by_store(self) -> RulesByStore:
        return {self.store: LoyaltyRules(self.programme, ZONE)}

    def mine(self, sent: Sent) -> Sent:
        return replace(sent, event=sent.event.model_copy(update={"store": self.store}))

    async def send(self, *sent: Sent, now: datetime | None = None) -> dict[str, int]:
        """Apply the events as one batch."""
        batch = [self.mine(one).received() for one in sent]
        handle = handlers(self.rules_by_store, lambda: now or self.now, b"secret")[type(batch[0].event)]
        async with self.database.transaction() as session:
            outcomes = await handle(session, batch) or {}
        return {outcome: count for (_, outcome), count in outcomes.items()}

    async def live_through(self, story: Iterable[Sent], until: datetime) -> None:
        """Each event at its own time, and the tier clock at every instant that it asks for between them."""
        for one in sorted(story, key=event_time):
            await self.tick_until(event_time(one))
            await self.send(one, now=event_time(one))
        await self.tick_until(until)

    async def tick_until(self, until: datetime) -> None:
        while True:
            async with self.database.transaction() as session:
                due = await tier_store.next_due(session, self.rules_by_store)
                if due is None or due > until:
                    return
                seen, _ = await fold_due(session, self.rules_by_store, now=due, limit=100)
                assert seen

    async def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.database.transaction() as session:
            found = await session.execute(text(sql), {"store": self.store, **parameters})
            return [dict(row._mapping) for row in found]

    async def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Customers without what depends on when they were written, and facts."""
        people = await self.query("SELECT * FROM segmenter.customers WHERE store = :store ORDER BY ref")
        facts = await self.query("SELECT * FROM segmenter.facts WHERE store = :store ORDER BY kind, id")
        later = {"store", "seq", "changed_at", "traceparent", "published_seq", "published_at"}
        return (
            [{k: v for k, v in row.items() if k not in later} for row in people],
            [{k: v for k, v in row.items() if k != "store"} for row in facts],
        )

    async def whole_rows(self) -> list[dict[str, Any]]:
        return await self.query("SELECT * FROM segmenter.customers WHERE store = :store ORDER BY ref")

    async def customer(self, ref: str = ASHA) -> dict[str, Any]:
        (row,) = await self.query(
            "SELECT * FROM segmenter.customers WHERE store = :store AND ref = :ref", ref=ref
        )
        return row

    async def story(self, ref: str = ASHA) -> list[tuple[str, int, str, str]]:
        """(local day, points, from -> to, reason) of every transition, as it is stored."""
        history = (await self.customer(ref))["history"]
        return [
            (
                local_day(datetime.fromisoformat(step["at"]), ZONE).isoformat(),
                step["points"],
                f"{step['from_tier']} -> {step['to_tier']}",
                step["reason"],
            )
            for step in history
        ]


async def at_once(*jobs: Any) -> Sequence[Any]:
    async with asyncio.timeout(30):
        return await asyncio.gather(*jobs)
