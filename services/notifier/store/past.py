"""What customers answered before."""

from collections.abc import Iterable

from sqlalchemy import text

from services.notifier.cases.store.customers import Ref
from services.notifier.domain.history import Past
from shared.db import Session
from shared.feedback.metrics import Group


async def of_customers(session: Session, refs: Iterable[Ref], *, most: int = 20) -> dict[Ref, list[Past]]:
    """The known answers of these customers that were not retracted, the newest first."""
    wanted = sorted(set(refs))
    if not wanted:
        return {}
    rows = await session.execute(
        text("""SELECT w.store, w.ref, one.* FROM unnest(CAST(:stores AS text[]), CAST(:refs AS text[]))
                     AS w(store, ref)
                CROSS JOIN LATERAL (
                    SELECT response_id, metric, scale, score, grp, answered_at FROM notifier.answers a
                    WHERE a.store = w.store AND a.customer_ref = w.ref
                          AND a.score IS NOT NULL AND NOT a.retracted
                    ORDER BY a.answered_at DESC, a.response_id DESC LIMIT :most) one"""),
        {"stores": [store for store, _ in wanted], "refs": [ref for _, ref in wanted], "most": most},
    )
    found: dict[Ref, list[Past]] = {}
    for row in rows:
        past = Past(
            row.response_id, row.metric, row.scale, row.score, Group[row.grp.upper()], row.answered_at
        )
        found.setdefault((row.store, row.ref), []).append(past)
    return found
