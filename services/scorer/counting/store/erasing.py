"""What is stored of people who are to be erased. The caller holds the lock around erasing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store.answers import ANSWER_COLUMNS, Connection, Key, answer_of


class Rival(NamedTuple):
    """A body that lost to another under its id, and whose it is."""

    store: str
    response_id: str
    fingerprint: str
    body: str
    respondent: str


_ERASED = "unnest($1::text[], $2::text[], $3::timestamptz[]) AS k(store, respondent, erased_at)"


async def answers_until(db: Connection, erased: Mapping[Key, datetime]) -> list[Answer]:
    """All answers of these respondents that were received until their erasure, locked in sorted order."""
    rows = await db.fetch(
        f"""SELECT {ANSWER_COLUMNS}, ARRAY(SELECT c.fingerprint FROM scorer.conflicts c
                WHERE c.store = a.store AND c.response_id = a.response_id) AS rivals
            FROM {_ERASED} JOIN scorer.answers a USING (store, respondent)
            WHERE a.received_at <= k.erased_at
            ORDER BY a.store, a.response_id FOR UPDATE OF a""",
        *_columns(erased),
    )
    return [answer_of(row, row["rivals"]) for row in rows]


async def rivals_until(db: Connection, erased: Mapping[Key, datetime], answers: Sequence[Key]) -> list[Rival]:
    """The bodies of these respondents that lost under their id, and those without a respondent that lost to
    one of these answers; locked in sorted order."""
    rows = await db.fetch(
        # Two questions, each with an index of its own: put together by OR they would read every conflict.
        f"""WITH theirs AS (
                SELECT c.store, c.response_id, c.fingerprint
                FROM {_ERASED} JOIN scorer.conflicts c USING (store, respondent)
                WHERE (c.body::json ->> 'received_at')::timestamptz <= k.erased_at
                UNION
                SELECT c.store, c.response_id, c.fingerprint
                FROM unnest($4::text[], $5::text[]) AS a(store, response_id)
                JOIN scorer.conflicts c USING (store, response_id) WHERE c.respondent IS NULL)
            SELECT c.store, c.response_id, c.fingerprint, c.body, coalesce(c.respondent, '')
            FROM scorer.conflicts c JOIN theirs USING (store, response_id, fingerprint)
            ORDER BY c.store, c.response_id, c.fingerprint FOR UPDATE OF c""",
        *_columns(erased),
        [store for store, _ in answers],
        [response for _, response in answers],
    )
    return [Rival(*row) for row in rows]


async def rewrite_rivals(db: Connection, rivals: Sequence[Rival]) -> None:
    """Replace the bodies and respondents of these stored rivals."""
    if rivals:
        await db.execute(
            """UPDATE scorer.conflicts c SET body = n.body, respondent = n.respondent
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                    AS n(store, response_id, fingerprint, body, respondent)
               WHERE c.store = n.store AND c.response_id = n.response_id AND c.fingerprint = n.fingerprint""",
            *[list(column) for column in zip(*rivals, strict=True)],
        )


async def hand_over_tiers(
    db: Connection, surrogates: Mapping[Key, str], erased: Mapping[Key, datetime]
) -> None:
    """Move the tiers of these respondents to their surrogates; delete the rows that hold nothing afterwards.

    Tiers of after the erasure belong to somebody new, and stay.
    """
    pairs = sorted(surrogates.items())
    if pairs:
        await db.execute(
            """INSERT INTO scorer.respondents (store, respondent, tier_seq, tiers)
               SELECT r.store, n.surrogate, r.tier_seq, r.tiers
               FROM unnest($1::text[], $2::text[], $3::text[]) AS n(store, respondent, surrogate)
               JOIN scorer.respondents r USING (store, respondent)""",
            [key[0] for key, _ in pairs],
            [key[1] for key, _ in pairs],
            [surrogate for _, surrogate in pairs],
        )
    await db.execute(
        f"""UPDATE scorer.respondents r SET tiers = '[]'
            FROM {_ERASED} WHERE r.store = k.store AND r.respondent = k.respondent
              AND r.tier_seq <= extract(epoch FROM k.erased_at) * 1000""",
        *_columns(erased),
    )
    await drop_unused_respondents(db, list(erased))


async def drop_unused_respondents(db: Connection, respondents: Sequence[Key]) -> None:
    """Delete the rows of these respondents that have neither answers nor tiers: they would only say that
    there was somebody."""
    await db.execute(
        """DELETE FROM scorer.respondents r USING unnest($1::text[], $2::text[]) AS k(store, respondent)
           WHERE r.store = k.store AND r.respondent = k.respondent AND r.tiers = '[]'
             AND NOT EXISTS (SELECT 1 FROM scorer.answers a
                             WHERE a.store = r.store AND a.respondent = r.respondent)""",
        [store for store, _ in respondents],
        [respondent for _, respondent in respondents],
    )


def _columns(erased: Mapping[Key, datetime]) -> tuple[list[str], list[str], list[datetime]]:
    keys = sorted(erased)
    return [store for store, _ in keys], [ref for _, ref in keys], [erased[key] for key in keys]
