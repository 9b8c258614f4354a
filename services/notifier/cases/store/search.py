"""The list of cases, the clock that runs out first on top: a page of it reads only what it shows."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import text

from services.notifier.cases.domain.case import LIVE, Case, Priority, Status
from services.notifier.cases.store.cases import COLUMNS, IS_LIVE, case_of
from shared.db import Session

_NUMBER = re.compile(r"#?(\d{1,18})")

MOST_WALKED = 3000
"""A page of common words is full after fewer cases of the list than these."""

MOST_FOUND = 5000
"""Words that more cases have than these are common wherever they are looked for."""

_QUERY = "to_tsquery('simple', :words)"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of cases is narrowed to; None is no condition. `owner` of "" means nobody's."""

    statuses: tuple[Status, ...] = ()
    owner: str | None = None
    priority: Priority | None = None
    overdue: bool | None = None
    team: str | None = None
    tier: str | None = None
    q: str | None = None
    """Words, each of which begins one of the customer, the order or the comment; or a case's number."""
    due_before: datetime | None = None
    """A clock runs out from now to then."""
    wants_contact: bool | None = None
    watcher: str | None = None
    found: tuple[str, ...] | None = None
    """The cases of `q`, when they are few: see `resolved`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: the clock as text, and the case."""

    due: str
    case_id: str

    @classmethod
    def read(cls, due: str, case_id: str) -> Self:
        """A place that somebody sent, in words that PostgreSQL reads: those are fewer than Python's.

        Raises ValueError.
        """
        if due == "infinity":
            return cls(due, case_id)
        moment = datetime.fromisoformat(due)
        if moment.tzinfo is None:
            raise ValueError("a moment without its offset")
        try:
            return cls(moment.astimezone(UTC).isoformat(), case_id)
        except OverflowError as error:
            raise ValueError("a moment before all years") from error


async def page(
    session: Session, store: str, wanted: Filter, *, after: Place | None, limit: int
) -> list[tuple[Case, Place]]:
    """Cases by the clock that runs out first; those without a clock come last."""
    if wanted.q is not None and wanted.found is None:
        shown = await _near(session, store, wanted, after=after, limit=limit)
        if shown is None:
            shown = await _among_few(session, store, wanted, after=after, limit=limit)
        wanted = replace(wanted, found=shown)
    where, given = _conditions_after(wanted, after)
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, CAST(c.due_at AS text) AS due FROM ({picked(wanted, where)}) c
                 ORDER BY c.due_at, c.case_id LIMIT :limit"""),
        given | {"store": store, "limit": limit},
    )
    return [(case_of(row), Place(row.due, row.case_id)) for row in rows]


async def _near(
    session: Session, store: str, wanted: Filter, *, after: Place | None, limit: int
) -> tuple[str, ...] | None:
    """So many cases with the words, when a short walk along the list finds them, or finds its end."""
    where, given = _conditions_after(replace(wanted, q=None), after)
    hit = _found(wanted.q or "", given).replace(_QUERY, f"(SELECT {_QUERY})")
    rows = await session.execute(
        text(f"""SELECT near.case_id, near.hit, near.place
                 FROM (SELECT c.case_id, c.due_at, {hit} AS hit,
                              row_number() OVER (ORDER BY c.due_at, c.case_id) AS place
                       FROM ({picked(wanted, where)}) c) near
                 WHERE near.hit OR near.place = :limit
                 ORDER BY near.due_at, near.case_id LIMIT :shown"""),
        given | {"store": store, "limit": MOST_WALKED, "shown": limit},
    )
    found = rows.all()
    hits = tuple(row.case_id for row in found if row.hit)
    ended = not found or found[-1].place < MOST_WALKED
    return hits if len(hits) == limit or ended else None


async def _among_few(
    session: Session, store: str, wanted: Filter, *, after: Place | None, limit: int
) -> tuple[str, ...] | None:
    """The first so many cases with the words, when few have them; each is looked at once."""
    where, given = _conditions_after(replace(wanted, q=None), after)
    if "statuses" in given:
        where.append("c.status = ANY(CAST(:statuses AS text[]))")
    async with _by_words(session):
        rows = await session.execute(
            text(f"""WITH few AS MATERIALIZED (
                         SELECT c.case_id, c.due_at, c.status, c.owner, c.priority, c.team, c.tier,
                                c.wants_contact
                         FROM notifier.cases c WHERE c.store = :store AND {_found(wanted.q or "", given)}
                         LIMIT :most)
                     SELECT (SELECT count(*) FROM few) AS found,
                            ARRAY(SELECT c.case_id FROM few c WHERE {" AND ".join(where) or "true"}
                                  ORDER BY c.due_at, c.case_id LIMIT :limit) AS shown"""),
            given | {"store": store, "most": MOST_FOUND + 1, "limit": limit},
        )
        row = rows.one()
    return tuple(row.shown) if row.found <= MOST_FOUND else None


@asynccontextmanager
async def _by_words(session: Session) -> AsyncIterator[None]:
    """Cases are looked up by their words and in no other way, by a plan that is made for these words.

    PostgreSQL takes the beginning of a word for a common one, and would walk the whole list for a rare one.
    """
    await session.execute(
        text("""SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
                       set_config('enable_seqscan', 'off', true),
                       set_config('enable_indexscan', 'off', true)""")
    )
    yield
    await session.execute(
        text("SELECT set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'on', true)")
    )


def _conditions_after(wanted: Filter, after: Place | None) -> tuple[list[str], dict[str, Any]]:
    where, given = conditions(wanted)
    if after is None:
        return where, given
    where.append("(c.due_at, c.case_id) > (CAST(CAST(:due AS text) AS timestamptz), :case_id)")
    return where, given | {"due": after.due, "case_id": after.case_id}


async def resolved(session: Session, store: str, wanted: Filter) -> Filter:
    """The filter with the cases of its words looked up, when they are few; read in the same transaction."""
    if wanted.q is None or wanted.found is not None:
        return wanted
    given: dict[str, Any] = {"store": store, "most": MOST_FOUND + 1}
    async with _by_words(session):
        found = await session.execute(
            text(f"""SELECT c.case_id FROM notifier.cases c
                     WHERE c.store = :store AND {_found(wanted.q, given)} LIMIT :most"""),
            given,
        )
        ids = tuple(found.scalars())
    return wanted if len(ids) > MOST_FOUND else replace(wanted, found=ids)


def picked(wanted: Filter, conditions: list[str], *, order: str = "ASC", shown: str = "c.*") -> str:
    """The first `:limit` cases of `:store`, by their clock; an empty `order`: any so many.

    Of some statuses: the first of each, so that each is read in its own order from its own index.
    """
    where = " AND ".join(["c.store = :store", *conditions])
    first = f"ORDER BY c.due_at {order}, c.case_id {order} LIMIT :limit" if order else "LIMIT :limit"
    if not wanted.statuses or frozenset(wanted.statuses) == LIVE:
        return f"SELECT {shown} FROM notifier.cases c WHERE {where} {first}"
    return f"""SELECT one.* FROM unnest(CAST(:statuses AS text[])) AS s(status)
               CROSS JOIN LATERAL (SELECT {shown} FROM notifier.cases c
                                   WHERE {where} AND c.status = s.status {first}) one"""


def conditions(wanted: Filter) -> tuple[list[str], dict[str, Any]]:
    """What a filter asks of `cases c`, and the values in it."""
    where: list[str] = []
    given: dict[str, Any] = {}
    statuses = frozenset(wanted.statuses)
    if statuses and statuses <= LIVE:
        where.append(IS_LIVE)  # names the partial indexes
    if statuses and statuses != LIVE:
        given["statuses"] = [status.value for status in wanted.statuses]
    for name in ("owner", "priority", "team", "tier"):
        value = getattr(wanted, name)
        if value == "":
            where.append(f"c.{name} IS NULL")
        elif value is not None:
            where.append(f"c.{name} = :{name}")
            given[name] = str(value)
    if wanted.overdue is not None:
        where.append("c.due_at < now()" if wanted.overdue else "c.due_at >= now()")
    if wanted.due_before is not None:
        where.append("c.due_at >= now() AND c.due_at < :due_before")
        given["due_before"] = wanted.due_before
    if wanted.wants_contact is not None:
        where.append("c.wants_contact" if wanted.wants_contact else "NOT c.wants_contact")
    if wanted.watcher is not None:
        where.append("c.case_id IN (SELECT w.case_id FROM notifier.case_watchers w WHERE w.who = :watcher)")
        given["watcher"] = wanted.watcher
    if wanted.found is not None:
        where.append("c.case_id = ANY(CAST(:found AS text[]))")
        given["found"] = list(wanted.found)
    elif wanted.q is not None:
        where.append(_found(wanted.q, given))
    return where, given


def _found(q: str, given: dict[str, Any]) -> str:
    given["words"] = " & ".join(f"'{_quoted(word)}':*" for word in q.split())
    found = f"c.words @@ {_QUERY}"
    if match := _NUMBER.fullmatch(q.strip()):
        given["number"] = int(match[1])
        return f"({found} OR c.number = :number)"
    return found


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "''")
