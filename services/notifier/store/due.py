"""Cases that something becomes due for without anybody doing anything."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from services.notifier.cases.domain.case import Case
from services.notifier.cases.store.cases import COLUMNS, case_of
from shared.db import Session


async def snoozed_out(session: Session, limit: int) -> list[Case]:
    """Cases whose snooze is over by the database's clock, locked; those that somebody holds are skipped."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.status = 'snoozed' AND c.snoozed_until <= now()
                 ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c SKIP LOCKED"""),
        {"limit": limit},
    )
    return [case_of(row) for row in rows]


async def steps_due(session: Session, limit: int) -> list[Case]:
    """Cases whose next escalation step is due by the database's clock, locked; held ones are skipped."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c WHERE c.case_id IN (
                     SELECT d.case_id FROM notifier.cases d WHERE d.next_step_at <= now()
                     ORDER BY d.next_step_at LIMIT :limit FOR UPDATE SKIP LOCKED)"""),
        {"limit": limit},
    )
    return [case_of(row) for row in rows]


async def to_plan(session: Session, store: str, escalation: str, limit: int) -> list[Case] | None:
    """Live cases of the store that are still planned by other escalation steps, locked.

    `escalation` names the steps of now. None: all are planned by them, or somebody else is at it.
    """
    await session.execute(
        text("INSERT INTO notifier.plans (store) VALUES (:store) ON CONFLICT DO NOTHING"), {"store": store}
    )
    found = await session.execute(
        text("""SELECT escalation, wanted, after_case FROM notifier.plans WHERE store = :store
                FOR UPDATE SKIP LOCKED"""),
        {"store": store},
    )
    plan = found.first()
    if plan is None or plan.escalation == escalation:
        return None
    after = plan.after_case if plan.wanted == escalation else ""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS} FROM notifier.cases c
                 WHERE c.store = :store AND c.case_id > :after AND c.status NOT IN ('closed', 'dismissed')
                 ORDER BY c.case_id LIMIT :limit FOR UPDATE OF c"""),
        {"store": store, "after": after, "limit": limit},
    )
    cases = [case_of(row) for row in rows]
    await session.execute(
        text("""UPDATE notifier.plans SET wanted = :wanted, after_case = :after,
                       escalation = CASE WHEN :done THEN :wanted ELSE escalation END
                WHERE store = :store"""),
        {
            "store": store,
            "wanted": escalation,
            "after": cases[-1].case_id if cases else "",
            "done": len(cases) < limit,
        },
    )
    return cases


async def plan(session: Session, planned: Sequence[tuple[str, datetime | None]]) -> None:
    """When to look at these cases again; no change that anybody sees."""
    if planned:
        await session.execute(
            text("""UPDATE notifier.cases c SET next_step_at = n.at
                    FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS n(id, at)
                    WHERE c.case_id = n.id"""),
            {"ids": [case_id for case_id, _ in planned], "ats": [at for _, at in planned]},
        )
