"""You said, we did: which customers of a root cause are to hear what changed, and who has been told."""

from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import text

from services.notifier.report.store import Scope
from shared.db import Session
from shared.feedback.identity import ERASED

# Nobody can be told who was erased.
_TO_TELL = f"""c.status = 'closed' AND c.told_at IS NULL AND c.closed_at >= :start AND c.closed_at < :end
    AND NOT starts_with(c.customer_ref, '{ERASED}')"""
_CLOSED = f"{_TO_TELL} AND c.root_cause = :cause"


@dataclass(frozen=True, slots=True)
class ToTell:
    """A closed case whose customer was not told yet."""

    case_id: str
    number: int
    customer_ref: str
    response_id: str
    closed_at: datetime
    outcome: str | None
    owner: str | None


async def waiting(session: Session, scope: Scope, start: datetime, end: datetime) -> dict[str, int]:
    """Customers to tell, by root cause, of cases closed in the period and closed still."""
    rows = await session.execute(
        text(f"""SELECT c.root_cause AS cause, count(DISTINCT c.customer_ref) AS n FROM notifier.cases c
                 WHERE {_TO_TELL} AND c.root_cause IS NOT NULL AND {scope.condition}
                 GROUP BY c.root_cause"""),
        scope.given | {"start": start, "end": end},
    )
    return {row.cause: row.n for row in rows}


async def to_tell(
    session: Session,
    scope: Scope,
    cause: str,
    start: datetime,
    end: datetime,
    *,
    after: str = "",
    limit: int,
) -> list[ToTell]:
    """The cases, in the order of their ids; several of one customer are all there."""
    rows = await session.execute(
        text(f"""SELECT c.case_id, c.number, c.customer_ref, c.response_id, c.closed_at, c.outcome, c.owner
                 FROM notifier.cases c
                 WHERE {scope.condition} AND {_CLOSED} AND c.case_id > :after
                 ORDER BY c.case_id LIMIT :limit"""),
        scope.given | {"cause": cause, "start": start, "end": end, "after": after, "limit": limit},
    )
    return [ToTell(**row._asdict()) for row in rows]


async def mark(
    session: Session, scope: Scope, cause: str, start: datetime, end: datetime, *, who: str, now: datetime
) -> int:
    """Write in each case that its customer was told, by whom and when; returns how many cases there were.

    What was marked before is not marked again, so that a repeat changes nothing.
    """
    done = await session.execute(
        text(f"""WITH held AS (
                     SELECT c.case_id FROM notifier.cases c WHERE {scope.condition} AND {_CLOSED}
                     ORDER BY c.case_id FOR UPDATE OF c),
                 marked AS (
                     UPDATE notifier.cases c
                     SET told_at = :now, version = c.version + 1, changed_at = clock_timestamp()
                     FROM held WHERE c.case_id = held.case_id RETURNING c.case_id, c.version)
                 INSERT INTO notifier.history (case_id, at, who, what, detail, version)
                 SELECT case_id, :now, :who, 'told', CAST(:detail AS jsonb), version FROM marked"""),
        scope.given
        | {
            "cause": cause,
            "start": start,
            "end": end,
            "who": who,
            "now": now,
            "detail": orjson.dumps({"root_cause": cause}).decode(),
        },
    )
    return done.rowcount
