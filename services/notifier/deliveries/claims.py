"""Sending: deliveries that are due are claimed under a lease on the database's clock, and attempts recorded.

Quiet hours put deliveries off before they are claimed, and what comes too thickly joins a digest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from services.notifier.deliveries import notices
from services.notifier.deliveries.store import State, Target
from shared.db import Session
from shared.ops import tracing

# What waits for the end of quiet hours, and alerts that come so thickly that they are told together.

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


@dataclass(frozen=True, slots=True, order=True)
class Crowd:
    """The alerts of a channel that are counted together.

    Those of verified customers are counted apart from those of customers whom only a browser named: whoever
    has the public key can make up any number of these, and they must not hold up the others.
    """

    target: Target
    verified: bool


async def put_off(session: Session, quiet: Sequence[Quiet]) -> int:
    """Put off due deliveries to the end of the quiet hours, except tests of a channel; returns how many."""
    if not quiet:
        return 0
    updated = await session.execute(
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
            "stores": [channel.target[0] for channel in quiet],
            "channels": [channel.target[1] for channel in quiet],
            "until": [channel.until for channel in quiet],
            "urgent_too": [channel.urgent_too for channel in quiet],
        },
    )
    return updated.rowcount


async def crowded(session: Session, singles: Mapping[Target, int]) -> dict[Crowd, int]:
    """The crowds with more alerts due than may still come singly, and how many those are.

    `singles`: how many alerts of each crowd of a channel come singly in ten minutes. Those count from their
    first attempt.
    """
    if not singles:
        return {}
    rows = await session.execute(
        text(f"""SELECT t.store, t.channel, t.verified, t.most - begun.count AS left
                FROM (SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]),
                                           CAST(:most AS int[])) AS s(store, channel, most)
                      CROSS JOIN (VALUES (true), (false)) AS v(verified)) t
                CROSS JOIN LATERAL (
                    SELECT count(*)::int FROM (
                        SELECT 1 FROM notifier.deliveries d
                        JOIN notifier.cases c ON {_OF_CROWD}
                        WHERE d.store = t.store AND d.channel = t.channel
                              AND d.first_at > statement_timestamp() - interval '{DIGEST_MINUTES} minutes'
                        LIMIT t.most) counted) begun
                CROSS JOIN LATERAL (
                    SELECT count(*) FROM (
                        SELECT 1 FROM notifier.deliveries d JOIN notifier.cases c ON {_OF_CROWD}
                        WHERE {_FRESH} LIMIT t.most + 1) counted) due
                WHERE begun.count + due.count > t.most"""),
        {
            "stores": [store for store, _ in singles],
            "channels": [channel for _, channel in singles],
            "most": list(singles.values()),
        },
    )
    return {Crowd((row.store, row.channel), row.verified): row.left for row in rows}


_FRESH = """d.state = 'pending' AND d.store = t.store AND d.channel = t.channel AND d.attempt = 0
    AND d.case_id IS NOT NULL AND d.next_at <= statement_timestamp()"""

_OF_CROWD = "c.case_id = d.case_id AND c.verified = t.verified"


async def gather(session: Session, crowd: Crowd, title: str, singles: int) -> int | None:
    """Put the alerts of a crowd that are due and too many into this ten minutes' digest of their channel.

    The most urgent and oldest stay, as many as may still come singly. All of it in the caller's transaction,
    so that an alert is either on its own or in exactly one digest. Returns how many joined; None when the
    digest is on its way already, just as its time ends: the next round finds the next digest.
    """
    store, channel = crowd.target
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7))"),
        {"name": f"digest:{store}:{channel}"},
    )
    left = (await crowded(session, {crowd.target: singles})).get(crowd)
    if left is None:
        return 0  # somebody else put them away meanwhile
    notice_id = await _open_digest(session, crowd.target, title)
    if notice_id is None:
        return None
    joined = full = await _join(session, crowd, notice_id, left)
    while full == _MOST_JOINING:
        full = await _join(session, crowd, notice_id, left)
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
    new = notices.NewNotice(notice_id, store, notices.NoticeKind.DIGEST, title, {}, "/inbox")
    await notices.add(session, new, [channel], not_before=until, traceparent=tracing.new_trace("digest"))
    waiting = await session.execute(
        text("""SELECT 1 FROM notifier.deliveries WHERE notice_id = :notice AND channel = :channel
                AND state = 'pending' AND attempt = 0 FOR UPDATE SKIP LOCKED"""),
        {"notice": notice_id, "channel": channel},
    )
    return notice_id if waiting.first() else None


async def _join(session: Session, crowd: Crowd, notice_id: str, left: int) -> int:
    joined = await session.execute(
        text(f"""WITH joining AS (
                     SELECT d.delivery_id, c.priority = 'urgent' AS urgent
                     FROM (SELECT CAST(:store AS text) AS store, CAST(:channel AS text) AS channel,
                                  CAST(:verified AS boolean) AS verified) t
                     JOIN notifier.deliveries d ON {_FRESH} JOIN notifier.cases c ON {_OF_CROWD}
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
        {
            "store": crowd.target[0],
            "channel": crowd.target[1],
            "verified": crowd.verified,
            "left": left,
            "notice": notice_id,
        },
    )
    count: int = joined.scalar_one()
    return count


async def members(session: Session, notice_ids: Sequence[str]) -> dict[str, tuple[int, list[Member]]]:
    """Of each digest how many alerts are in it, and the first of them.

    Those of verified customers come first, of these the most urgent, of these the oldest.
    """
    if not notice_ids:
        return {}
    rows = await session.execute(
        text("""SELECT t.notice_id, named.case_id, named.store, named.response_id, named.total
                FROM unnest(CAST(:ids AS text[])) AS t(notice_id)
                CROSS JOIN LATERAL (
                    SELECT d.case_id, d.store, d.response_id, count(*) OVER () AS total
                    FROM notifier.deliveries d JOIN notifier.cases c ON c.case_id = d.case_id
                    WHERE d.digest_id = t.notice_id
                    ORDER BY c.verified DESC,
                             array_position(ARRAY['urgent', 'high', 'normal', 'low'], c.priority),
                             d.delivery_id
                    LIMIT :most) named"""),
        {"ids": list(notice_ids), "most": MOST_NAMED},
    )
    named_in: dict[str, tuple[int, list[Member]]] = {notice_id: (0, []) for notice_id in notice_ids}
    for row in rows:
        named = named_in[row.notice_id][1]
        named.append(Member(row.case_id, row.store, row.response_id))
        named_in[row.notice_id] = (row.total, named)
    return named_in


MOST_CLAIMED = 500
"""In one round, so that it stays short."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease runs out. `attempt`: 1 for the first."""

    delivery_id: str
    store: str
    case_id: str | None
    notice_id: str | None
    """What it is about: one of the two."""
    reason: str
    channel: str
    response_id: str | None
    received_at: datetime
    created_at: datetime
    traceparent: str
    attempt: int
    token: str


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended. `wait_seconds`: until the next one, when the delivery is still pending."""

    delivery_id: str
    token: str
    """The lease under which it was made."""
    state: State
    wait_seconds: float
    status: int | None
    milliseconds: int
    reply: str
    error: str


async def begin(session: Session) -> bool:
    """Begin a round; returns whether a hold stops all sending.

    The round commits before the disk has it, which is for what may be done twice, never for what must not be
    lost: a PostgreSQL that crashes may forget the last moments of claims and results. The same deliveries
    are then sent again under the same id, as after any crash between sending and recording.
    """
    rows = await session.execute(
        text("""SELECT set_config('synchronous_commit', 'off', true),
                       EXISTS (SELECT FROM notifier.channel_pauses WHERE store = '')""")
    )
    return bool(rows.one()[1])


async def claim(
    session: Session,
    free: Mapping[Target, int],
    *,
    token: str,
    lease_seconds: float,
    crowded: Collection[Crowd] = (),
) -> list[Claimed]:
    """Take what is due, at most so many of each target; nobody else gets these until the lease is over.

    Of what is `crowded` no alert that was never tried: those join a digest.
    """
    if not free:
        return []
    rows = await session.execute(
        text(f"""WITH due AS (
                    SELECT one.delivery_id
                    FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[]), CAST(:free AS int[]),
                                CAST(:verified_crowded AS boolean[]),
                                CAST(:unverified_crowded AS boolean[]))
                         AS t(store, channel, free, verified_crowded, unverified_crowded)
                    CROSS JOIN LATERAL (
                        SELECT d.delivery_id FROM notifier.deliveries d
                        WHERE d.state = 'pending' AND d.store = t.store AND d.channel = t.channel
                              AND d.next_at <= statement_timestamp()
                              AND NOT ((t.verified_crowded OR t.unverified_crowded) AND d.attempt = 0
                                       AND EXISTS (SELECT FROM notifier.cases c WHERE c.case_id = d.case_id
                                                   AND CASE WHEN c.verified THEN t.verified_crowded
                                                            ELSE t.unverified_crowded END))
                        ORDER BY d.next_at LIMIT t.free FOR UPDATE SKIP LOCKED) one
                    LIMIT {MOST_CLAIMED})
                UPDATE notifier.deliveries d
                SET attempt = attempt + 1, lease_token = :token,
                    first_at = CASE WHEN d.case_id IS NOT NULL
                                    THEN coalesce(d.first_at, clock_timestamp()) END,
                    next_at = clock_timestamp() + make_interval(secs => :lease)
                FROM due WHERE d.delivery_id = due.delivery_id
                RETURNING d.delivery_id, d.store, d.case_id, d.notice_id, d.reason, d.channel, d.response_id,
                          d.received_at, d.created_at, d.traceparent, d.attempt"""),
        {
            "stores": [store for store, _ in free],
            "channels": [channel for _, channel in free],
            "free": list(free.values()),
            "verified_crowded": [Crowd(target, verified=True) in crowded for target in free],
            "unverified_crowded": [Crowd(target, verified=False) in crowded for target in free],
            "token": token,
            "lease": lease_seconds,
        },
    )
    return [Claimed(**row._asdict(), token=token) for row in rows]


async def seconds_to_next(session: Session, targets: Iterable[Target]) -> float | None:
    """Until the next attempt of any of these targets is due; None when nothing waits."""
    channels = list(targets)
    rows = await session.execute(
        text("""SELECT CAST(extract(epoch FROM min(one.next_at) - clock_timestamp()) AS float8)
                FROM unnest(CAST(:stores AS text[]), CAST(:channels AS text[])) AS t(store, channel)
                CROSS JOIN LATERAL (
                    SELECT d.next_at FROM notifier.deliveries d
                    WHERE d.state = 'pending' AND d.store = t.store AND d.channel = t.channel
                    ORDER BY d.next_at LIMIT 1) one"""),
        {"stores": [store for store, _ in channels], "channels": [channel for _, channel in channels]},
    )
    seconds: float | None = rows.scalar_one()
    return seconds


async def record(session: Session, results: Sequence[Result]) -> set[str]:
    """Write down how attempts ended; returns the deliveries that were still ours."""
    if not results:
        return set()
    rows = await session.execute(
        text("""WITH result AS (
                    SELECT * FROM unnest(
                        CAST(:ids AS text[]), CAST(:tokens AS text[]), CAST(:states AS text[]),
                        CAST(:waits AS float8[]),
                        CAST(:statuses AS int[]), CAST(:times AS int[]), CAST(:replies AS text[]),
                        CAST(:errors AS text[])) AS r(id, token, state, wait, status, took, reply, error)
                ), held AS (
                    SELECT d.delivery_id FROM notifier.deliveries d JOIN result r ON d.delivery_id = r.id
                    WHERE d.lease_token = r.token ORDER BY d.delivery_id FOR UPDATE OF d
                )
                UPDATE notifier.deliveries d
                SET state = CASE WHEN d.state = 'cancelled' AND r.state <> 'sent' THEN d.state
                                 ELSE r.state END,
                    next_at = CASE WHEN r.state = 'pending'
                                   THEN clock_timestamp() + make_interval(secs => r.wait) ELSE d.next_at END,
                    settled_at = CASE WHEN r.state <> 'pending' THEN clock_timestamp() ELSE d.settled_at END,
                    lease_token = NULL, last_status = r.status, last_milliseconds = r.took,
                    last_reply = r.reply, last_error = r.error
                FROM held JOIN result r ON r.id = held.delivery_id
                WHERE d.delivery_id = held.delivery_id
                RETURNING d.delivery_id"""),
        {
            "ids": [result.delivery_id for result in results],
            "tokens": [result.token for result in results],
            "states": [result.state.value for result in results],
            "waits": [result.wait_seconds for result in results],
            "statuses": [result.status for result in results],
            "times": [result.milliseconds for result in results],
            "replies": [result.reply for result in results],
            "errors": [result.error for result in results],
        },
    )
    return set(rows.scalars())


async def let_go(session: Session, tokens: Iterable[str]) -> int:
    """Give back what was claimed and not recorded, so that a successor need not wait for the lease."""
    updated = await session.execute(
        text("""UPDATE notifier.deliveries
                SET lease_token = NULL, next_at = clock_timestamp(), attempt = greatest(attempt - 1, 0),
                    first_at = CASE WHEN attempt > 1 THEN first_at END
                WHERE state = 'pending' AND lease_token = ANY(CAST(:tokens AS text[]))"""),
        {"tokens": list(tokens)},
    )
    return updated.rowcount
