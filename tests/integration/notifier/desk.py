"""Events of one store as examples, and the notifier's handlers applied to them in a real database."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from services.notifier.cases.domain.case import LIVE
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.handlers import CaseHandlers
from services.notifier.deliveries.settings import StoreChannels
from services.notifier.settings import Alerts
from shared.db import Database
from shared.events import Envelope, Event, Received, new_id
from shared.events.customers import CustomerChanged
from shared.events.responses import (
    AboutOrder,
    Customer,
    Identity,
    ResponseAmended,
    ResponseRetracted,
    ResponseSubmitted,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url: str = "http://127.0.0.1:1/hook") -> dict[str, Any]:
    return {"kind": "webhook", "url": url, "secret": SECRET}


@dataclass
class Desk:
    """A store of its own, so that tests do not see each other's rows.

    It makes events, applies them as the consumer would, and reads the rows that they leave.
    """

    database: Database
    alerts: Alerts = field(default_factory=lambda: Alerts.model_validate({"channels": {"alerts": webhook()}}))
    store: str = field(default_factory=lambda: f"s{uuid4().hex[:12]}")
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def policies(self) -> dict[str, Policy]:
        return {self.store: self.alerts.policy}

    @property
    def channels(self) -> StoreChannels:
        return {self.store: self.alerts.channels}

    @property
    def handlers(self) -> CaseHandlers:
        return CaseHandlers(self.policies, "v1", now=lambda: self.now)

    def submitted(
        self, score: int = 2, *, response_id: str = "r-1", customer: str | None = "c-1", **given: Any
    ) -> Received:
        fields: dict[str, Any] = {
            "fingerprint": f"{zlib.crc32(repr((score, customer, given)).encode())}",
            "metric": "nps",
            "scale": "0-10",
            "received_at": self.now,
            "answered_at": self.now,
            "identity": Identity.IDENTIFIED,
            "customer": customer
            and Customer(ref=customer, id=customer, email=f"{customer}@example.com", name="Ann"),
            **given,
        }
        return received(ResponseSubmitted(store=self.store, response_id=response_id, score=score, **fields))

    def amended(self, *, response_id: str = "r-1", revision: int = 1, **given: Any) -> Received:
        return received(
            ResponseAmended(
                store=self.store, response_id=response_id, received_at=self.now, revision=revision, **given
            )
        )

    def retracted(self, response_id: str = "r-1") -> Received:
        return received(ResponseRetracted(store=self.store, response_id=response_id, received_at=self.now))

    def standing(self, *, customer: str = "c-1", seq: int = 1, tier: str = "Gold", **given: Any) -> Received:
        return received(
            CustomerChanged(
                store=self.store, customer_ref=customer, seq=seq, tier=tier, tags=("vip",), **given
            )
        )

    async def apply(self, *batch: Received) -> dict[str, int]:
        """One batch, one transaction; returns its outcomes, those of all topics together."""
        async with self.database.transaction() as session:
            outcomes: Counter[str] = Counter()
            for (_, outcome), count in (await self.handlers.apply(session, batch) or {}).items():
                outcomes[outcome] += count
            return {outcome: count for outcome, count in outcomes.items() if count}

    async def one_by_one(self, events: Sequence[Received]) -> None:
        for event in events:
            await self.apply(event)

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        async with self.database.transaction() as session:
            found = await session.execute(text(sql), {"store": self.store})
            return [dict(row._mapping) for row in found]

    async def cases(self) -> list[dict[str, Any]]:
        return await self.rows("SELECT * FROM notifier.cases WHERE store = :store ORDER BY number")

    async def case(self) -> dict[str, Any]:
        [case] = await self.cases()
        return case

    async def live(self) -> list[dict[str, Any]]:
        return [case for case in await self.cases() if case["status"] in LIVE]

    async def deliveries(self) -> list[dict[str, Any]]:
        return await self.rows(
            "SELECT * FROM notifier.deliveries WHERE store = :store ORDER BY reason, channel, delivery_id"
        )

    async def history(self) -> list[str]:
        rows = await self.rows(
            "SELECT h.what FROM notifier.history h JOIN notifier.cases c USING (case_id)"
            " WHERE c.store = :store ORDER BY h.id"
        )
        return [row["what"] for row in rows]

    async def emitted(self) -> list[str]:
        """The names of this store's events in the outbox (nobody relays it here)."""
        rows = await self.rows(
            "SELECT type FROM notifier.outbox"
            " WHERE convert_from(body, 'UTF8')::jsonb ->> 'store' = :store ORDER BY id"
        )
        return [row["type"].removesuffix(".v1") for row in rows]

    async def everything(self) -> list[list[dict[str, Any]]]:
        """All rows of this store but those of the outbox."""
        tables = ("customers", "answers", "cases", "case_answers", "deliveries")
        return [
            await self.rows(f"SELECT * FROM notifier.{table} t WHERE store = :store ORDER BY t::text")
            for table in tables
        ] + [
            await self.rows(
                "SELECT h.* FROM notifier.history h JOIN notifier.cases c USING (case_id)"
                " WHERE c.store = :store ORDER BY h.id"
            )
        ]


def received(event: Event, event_id: str = "") -> Received:
    envelope = Envelope.of(event.type, source="test", event_id=event_id or new_id())
    return Received(event, envelope, event.topic.name, 0, 0, event.body())


__all__ = ["SECRET", "AboutOrder", "Desk", "received", "timedelta", "webhook"]
