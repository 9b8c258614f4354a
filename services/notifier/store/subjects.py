"""What alerts about cases tell: the case, the answer behind the alert and the customer, in one look."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.case import Case
from services.notifier.cases.store.answers import readable
from services.notifier.cases.store.cases import COLUMNS, case_of
from services.notifier.deliveries.claims import Claimed
from shared.db import Session


@dataclass(frozen=True, slots=True)
class Subject:
    """`answer` of None: it is unknown or unreadable. `tier` and `tags` are the customer's of now."""

    case: Case
    answer: Answer | None
    tier: str | None
    tags: tuple[str, ...]


async def of(session: Session, claimed: Sequence[Claimed]) -> dict[str, Subject]:
    """By delivery id, of deliveries that are about cases."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, d.delivery_id, a.response_id AS told,
                        CAST(a.revisions AS text) AS revisions, k.tier AS known_tier, k.tags
                 FROM unnest(CAST(:ids AS text[]), CAST(:cases AS text[]), CAST(:answers AS text[]))
                      AS d(delivery_id, case_id, response_id)
                 JOIN notifier.cases c ON c.case_id = d.case_id
                 LEFT JOIN notifier.answers a ON a.store = c.store AND a.response_id = d.response_id
                 LEFT JOIN notifier.customers k ON k.store = c.store AND k.customer_ref = c.customer_ref"""),
        {
            "ids": [delivery.delivery_id for delivery in claimed],
            "cases": [delivery.case_id for delivery in claimed],
            "answers": [delivery.response_id for delivery in claimed],
        },
    )
    return {
        row.delivery_id: Subject(
            case_of(row),
            readable(row.told, row.revisions) if row.told else None,
            row.known_tier,
            tuple(row.tags or ()),
        )
        for row in rows
    }
