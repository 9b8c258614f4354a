"""Cases with a past, written as rows: what the report and its metrics are tried on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from shared.config.stores import Store
from shared.events import new_id
from tests.integration.notifier.desk import Desk

AMSTERDAM = Store(name="Shop", timezone="Europe/Amsterdam")


@dataclass
class PastCases:
    """Writes cases with their history, deliveries and answers straight into the rows of a desk's store.

    `now`: the moment that everything is dated back from.
    """

    desk: Desk
    now: datetime = datetime(2026, 11, 26, 13, 32, tzinfo=UTC)
    count: int = 0

    def ago(self, **given: float) -> datetime:
        return self.now - timedelta(**given)

    async def case(
        self,
        *,
        opened: datetime,
        contacted_after: float | None = None,
        closed: datetime | None = None,
        cause: str = "Carrier delay",
        outcome: str = "recovered",
        **given: Any,
    ) -> str:
        """A case with 4 hours to the first contact and 48 to its end; `contacted_after` in hours."""
        self.count += 1
        case_id = new_id()
        contact = None if contacted_after is None else opened + timedelta(hours=contacted_after)
        row: dict[str, Any] = {
            "case_id": case_id,
            "store": self.desk.store,
            "customer_ref": f"c-{self.count}",
            "response_id": f"r-{self.count}",
            "status": "closed" if closed else ("contacted" if contact else "open"),
            "priority": "normal",
            "rule": "default",
            "config_version": "v",
            "verified": True,
            "opened_at": opened,
            "first_contact_due_at": opened + timedelta(hours=4),
            "first_contact_at": contact,
            "first_contact_seconds": None if contacted_after is None else contacted_after * 3600,
            "resolve_due_at": opened + timedelta(hours=48),
            "resolve_hours": 48,
            "resolved_at": closed,
            "resolve_seconds": (closed - opened).total_seconds() if closed else None,
            "closed_at": closed,
            "root_cause": cause if closed else None,
            "outcome": outcome if closed else None,
            "metric": "nps",
            "reopened": 0,
            "version": 1,
            **given,
        }
        names = ", ".join(row)
        async with self.desk.database.transaction() as session:
            await session.execute(
                text(f"INSERT INTO notifier.cases ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row
            )
        if contact:
            await self.entry(case_id, "contacted", contact)
        if closed:
            await self.entry(case_id, "closed", closed, root_cause=cause, outcome=outcome)
        return case_id

    async def entry(self, case_id: str, what: str, at: datetime, **detail: Any) -> None:
        """A line of a case's history."""
        async with self.desk.database.transaction() as session:
            await session.execute(
                text("""INSERT INTO notifier.history (case_id, at, who, what, detail)
                        VALUES (:case_id, :at, 'system', :what, CAST(:detail AS jsonb))"""),
                {"case_id": case_id, "at": at, "what": what, "detail": orjson.dumps(detail).decode()},
            )

    async def answer(self, customer: str, group: str, at: datetime, **given: Any) -> None:
        """What a customer answered, as the notifier has folded it."""
        row = {
            "store": self.desk.store,
            "response_id": new_id(),
            "customer_ref": customer,
            "grp": group,
            "answered_at": at,
            "metric": "nps",
            "retracted": False,
            **given,
        }
        async with self.desk.database.transaction() as session:
            await session.execute(
                text("""INSERT INTO notifier.answers
                            (store, response_id, customer_ref, revisions, metric, grp, answered_at, retracted)
                        VALUES (:store, :response_id, :customer_ref, '{}', :metric, :grp, :answered_at,
                                :retracted)"""),
                row,
            )

    async def delivery(self, case_id: str, channel: str, state: str, seconds: float, **given: Any) -> None:
        """A delivery of yesterday that took so many seconds to this state."""
        row = {
            "delivery_id": new_id(),
            "store": self.desk.store,
            "case_id": case_id,
            "reason": new_id(),
            "channel": channel,
            "received_at": self.ago(days=1),
            "created_at": self.ago(days=1),
            "first_at": self.ago(days=1),
            "next_at": self.ago(days=1),
            "traceparent": "",
            "state": state,
            "settled_at": self.ago(days=1) + timedelta(seconds=seconds) if state != "pending" else None,
            "attempt": 1,
            **given,
        }
        async with self.desk.database.transaction() as session:
            await session.execute(
                text(
                    f"INSERT INTO notifier.deliveries ({', '.join(row)})"
                    f" VALUES ({', '.join(f':{n}' for n in row)})"
                ),
                row,
            )

    async def set(self, case_id: str, **given: Any) -> None:
        """Change columns of a case."""
        async with self.desk.database.transaction() as session:
            changes = ", ".join(f"{name} = :{name}" for name in given)
            await session.execute(
                text(f"UPDATE notifier.cases SET {changes} WHERE case_id = :case_id"),
                {"case_id": case_id, **given},
            )
