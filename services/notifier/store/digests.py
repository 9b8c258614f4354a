"""What waits for the end of quiet hours, and alerts that come so thickly that they are told together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.deliveries import notices
from services.notifier.deliveries.store import Target
from shared.db import Session
from shared.ops import tracing

DIGEST_MINUTES = 10
MOST_NAMED = 50

_MOST_JOINING = 5000


@dataclass(frozen=True, slots=True)
class Quiet:
    """A channel's quiet until a moment. `urgent_too`: urgent alerts wait as well."""

    target: Target
    until: datetime
    urgent_too: bool


@dataclass(frozen=True, slots=True)
class Member:
    """An alert that is told in a digest."""

    case_id: str
    store: str
    response_id: str | None


async def put_off(session: Session, quiet: Sequence[Quiet]) -> int:
    """What is due in quiet hours waits for their end; tests of a channel never do. Returns how many."""
    if not quiet:
        return 0
    done = await session.execute(
        text("""WITH put AS (
                    SELECT d.delivery_id, q.until
                    FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]),
                                CAST(:until AS timestamptz[]), CAST(:urgent_too AS boolean[]))
                         AS q(store, channel, until, urgent_too)
                    JOIN notifier.deliveries d ON d.store = q.store AND d.channel = q.channel
                         AND d.state = 'pending' AND d.next_at <= statement_timestamp()
                    LEFT JOIN notifier.cases c ON c.case_id = d.case_id
                    LEFT JOIN notifier.notices n ON n.notice_id = d.notice_id
                    WHERE coalesce(n.kind, '') <> 'test'
                          AND (q.urgent_too OR NOT coalesce(c.priority = 'urgent', n.urgent))
                    ORDER BY d.delivery_id FOR UPDATE OF d SKIP LOCKED)
                UPDATE notifier.deliveries d SET next_at = put.until
                FROM put WHERE d.delivery_id = put.delivery_id"""),
        {
            "stores": [one.target[0] for one in quiet],
            "channels": [one.target[1] for one in quiet],
            "until": [one.until for one in quiet],
            "urgent_too": [one.urgent_too for one in quiet],
        },
    )
    return done.rowcount


async def crowded(session: Session, singles: Mapping[Target, int]) -> dict[Target, int]:
    """The channels with more alerts due than may still come singly, and how many those are.

    `singles`: how many alerts in ten minutes come singly. Those count from their first attempt.
    """
    if not singles:
        return {}
    rows = await session.execute(
        text(f"""SELECT t.store, t.channel, t.most - begun.count AS left
                FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]), CAST(:most AS int[]))
                     AS t(store, channel, most)
                CROSS JOIN LATERAL (
                    SELECT count(*)::int FROM (
                        SELECT 1 FROM notifier.deliveries d WHERE d.store = t.store AND d.channel = t.channel
                               AND d.first_at > statement_timestamp() - interval '{DIGEST_MINUTES} minutes'
                        LIMIT t.most) counted) begun
                CROSS JOIN LATERAL (
                    SELECT count(*) FROM (
                        SELECT 1 FROM notifier.deliveries d
                        WHERE {_FRESH} LIMIT t.most + 1) counted) due
                WHERE begun.count + due.count > t.most"""),
        {
            "stores": [store for store, _ in singles],
            "channels": [channel for _, channel in singles],
            "most": list(singles.values()),
        },
    )
    return {(row.store, row.channel): row.left for row in rows}


_FRESH = """d.state = 'pending' AND d.store = t.store AND d.channel = t.channel AND d.attempt = 0
    AND d.case_id IS NOT NULL AND d.next_at <= statement_timestamp()"""


async def gather(session: Session, target: Target, title: str, singles: int) -> int | None:
    """Put the alerts that are due and too many into this ten minutes' digest.

    The most urgent and oldest stay, as many as may still come singly. All of it in the caller's transaction,
    so that an alert is either on its own or in exactly one digest. Returns how many joined; None when the
    digest is on its way already, just as its time ends: the next round finds the next digest.
    """
    store, channel = target
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7))"),
        {"name": f"digest:{store}:{channel}"},
    )
    left = (await crowded(session, {target: singles})).get(target)
    if left is None:
        return 0  # somebody else put them away meanwhile
    notice_id = await _open_digest(session, target, title)
    if notice_id is None:
        return None
    joined = full = await _join(session, target, notice_id, left)
    while full == _MOST_JOINING:
        full = await _join(session, target, notice_id, left)
        joined += full
    return joined


async def _open_digest(session: Session, target: Target, title: str) -> str | None:
    """The digest of these ten minutes, locked; None when it is not to be had."""
    store, channel = target
    moment = await session.execute(
        text(f"""SELECT date_bin('{DIGEST_MINUTES} minutes', statement_timestamp(), 'epoch')
                        + interval '{DIGEST_MINUTES} minutes' AS until""")
    )
    until: datetime = moment.scalar_one()
    notice_id = f"digest:{store}:{channel}:{until:%Y-%m-%dT%H:%M}"
    new = notices.New(notice_id, store, notices.Kind.DIGEST, title, {}, "/inbox")
    await notices.add(session, new, [channel], not_before=until, traceparent=tracing.new_trace("digest"))
    waiting = await session.execute(
        text("""SELECT 1 FROM notifier.deliveries WHERE notice_id = :notice AND channel = :channel
                AND state = 'pending' AND attempt = 0 FOR UPDATE SKIP LOCKED"""),
        {"notice": notice_id, "channel": channel},
    )
    return notice_id if waiting.first() else None


async def _join(session: Session, target: Target, notice_id: str, left: int) -> int:
    joined = await session.execute(
        text(f"""WITH joining AS (
                     SELECT d.delivery_id, c.priority = 'urgent' AS urgent
                     FROM (SELECT CAST(:store AS text) AS store, CAST(:channel AS text) AS channel) t
                     JOIN notifier.deliveries d ON {_FRESH} JOIN notifier.cases c ON c.case_id = d.case_id
                     ORDER BY (c.priority = 'urgent') DESC, d.next_at, d.delivery_id
                     OFFSET :left LIMIT {_MOST_JOINING} FOR UPDATE OF d SKIP LOCKED),
                 joined AS (
                     UPDATE notifier.deliveries d
                     SET state = 'digested', digest_id = :notice, settled_at = clock_timestamp()
                     FROM joining WHERE d.delivery_id = joining.delivery_id RETURNING joining.urgent),
                 told AS (
                     UPDATE notifier.notices SET urgent = true WHERE notice_id = :notice AND NOT urgent
                            AND EXISTS (SELECT FROM joined WHERE urgent))
                 SELECT count(*) FROM joined"""),
        {"store": target[0], "channel": target[1], "left": left, "notice": notice_id},
    )
    count: int = joined.scalar_one()
    return count


async def members(session: Session, notice_ids: Sequence[str]) -> dict[str, tuple[int, list[Member]]]:
    """Of each digest how many alerts are in it, and the first of them: the most urgent, then the oldest."""
    if not notice_ids:
        return {}
    rows = await session.execute(
        text("""SELECT t.notice_id, named.case_id, named.store, named.response_id, named.total
                FROM unnest(CAST(:ids AS text[])) AS t(notice_id)
                CROSS JOIN LATERAL (
                    SELECT d.case_id, d.store, d.response_id, count(*) OVER () AS total
                    FROM notifier.deliveries d JOIN notifier.cases c ON c.case_id = d.case_id
                    WHERE d.digest_id = t.notice_id
                    ORDER BY array_position(ARRAY['urgent', 'high', 'normal', 'low'], c.priority),
                             d.delivery_id
                    LIMIT :most) named"""),
        {"ids": list(notice_ids), "most": MOST_NAMED},
    )
    found: dict[str, tuple[int, list[Member]]] = {notice_id: (0, []) for notice_id in notice_ids}
    for row in rows:
        named = found[row.notice_id][1]
        named.append(Member(row.case_id, row.store, row.response_id))
        found[row.notice_id] = (row.total, named)
    return found
