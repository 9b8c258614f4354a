"""The search for cases: those that a filter selects, the clock that runs out first on top.

A page of the list reads only the cases that it shows, and words are looked up in the way that is cheap for
them: few cases have a rare word, and a common word is soon found along the list.
"""

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
"""How far a page of common words is looked for along the list before it is looked up by the words."""

MOST_RARE = 5000
"""Words that more cases have than these are common: they are looked for along the list."""

_QUERY = "to_tsquery('simple', :words)"


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases of a store; None: no condition. `owner`, `team` or `tier` of "": cases without one."""

    statuses: tuple[Status, ...] = ()
    owner: str | None = None
    priority: Priority | None = None
    overdue: bool | None = None
    team: str | None = None
    tier: str | None = None
    q: str | None = None
    """Words, each of which begins one of the customer, the order or the comment; or a case's number."""
    due_before: datetime | None = None
    """Cases with a clock that runs out between now and then."""
    wants_contact: bool | None = None
    verified: bool | None = None
    watcher: str | None = None
    case_ids: tuple[str, ...] | None = None
    """The cases that have the words of `q`, once they were looked up: see `with_words_looked_up`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list: the clock of a case as text, and the case. A page ends at one."""

    due: str
    case_id: str

    @classmethod
    def read(cls, due: str, case_id: str) -> Self:
        """A place that somebody sent, written as PostgreSQL reads it, which takes less than Python does.

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
    session: Session, store: str, case_filter: CaseFilter, *, after: Place | None, limit: int
) -> list[tuple[Case, Place]]:
    """Cases by the clock that runs out first; those without a clock come last."""
    if case_filter.q is not None and case_filter.case_ids is None:
        case_ids = await _along_the_list(session, store, case_filter, after=after, limit=limit)
        if case_ids is None:
            case_ids = await _among_rare(session, store, case_filter, after=after, limit=limit)
        case_filter = replace(case_filter, case_ids=case_ids)
    where, parameters = _conditions_after(case_filter, after)
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, CAST(c.due_at AS text) AS due FROM ({selected(case_filter, where)}) c
                 ORDER BY c.due_at, c.case_id LIMIT :limit"""),
        parameters | {"store": store, "limit": limit},
    )
    return [(case_of(row), Place(row.due, row.case_id)) for row in rows]


async def _along_the_list(
    session: Session, store: str, case_filter: CaseFilter, *, after: Place | None, limit: int
) -> tuple[str, ...] | None:
    """The first `limit` cases with the words, when a short way along the list has them, or has its end."""
    where, parameters = _conditions_after(replace(case_filter, q=None), after)
    hit = _has_words(case_filter.q or "", parameters).replace(_QUERY, f"(SELECT {_QUERY})")
    rows = await session.execute(
        text(f"""SELECT near.case_id, near.hit, near.place
                 FROM (SELECT c.case_id, c.due_at, {hit} AS hit,
                              row_number() OVER (ORDER BY c.due_at, c.case_id) AS place
                       FROM ({selected(case_filter, where)}) c) near
                 WHERE near.hit OR near.place = :limit
                 ORDER BY near.due_at, near.case_id LIMIT :shown"""),
        parameters | {"store": store, "limit": MOST_WALKED, "shown": limit},
    )
    near = rows.all()
    hits = tuple(row.case_id for row in near if row.hit)
    ended = not near or near[-1].place < MOST_WALKED
    return hits if len(hits) == limit or ended else None


async def _among_rare(
    session: Session, store: str, case_filter: CaseFilter, *, after: Place | None, limit: int
) -> tuple[str, ...] | None:
    """The first `limit` cases with the words, when few cases have them at all; None when many have."""
    where, parameters = _conditions_after(replace(case_filter, q=None), after)
    if "statuses" in parameters:
        where.append("c.status = ANY(CAST(:statuses AS text[]))")
    async with _planned_for_words(session):
        rows = await session.execute(
            text(f"""WITH few AS MATERIALIZED (
                         SELECT c.case_id, c.due_at, c.status, c.owner, c.priority, c.team, c.tier,
                                c.wants_contact, c.verified
                         FROM notifier.cases c
                         WHERE c.store = :store AND {_has_words(case_filter.q or "", parameters)}
                         LIMIT :most)
                     SELECT (SELECT count(*) FROM few) AS found,
                            ARRAY(SELECT c.case_id FROM few c WHERE {" AND ".join(where) or "true"}
                                  ORDER BY c.due_at, c.case_id LIMIT :limit) AS shown"""),
            parameters | {"store": store, "most": MOST_RARE + 1, "limit": limit},
        )
        row = rows.one()
    return tuple(row.shown) if row.found <= MOST_RARE else None


@asynccontextmanager
async def _planned_for_words(session: Session) -> AsyncIterator[None]:
    """Have PostgreSQL look cases up by their words and in no other way, by a plan for these words.

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


def _conditions_after(case_filter: CaseFilter, after: Place | None) -> tuple[list[str], dict[str, Any]]:
    where, parameters = conditions(case_filter)
    if after is None:
        return where, parameters
    where.append("(c.due_at, c.case_id) > (CAST(CAST(:due AS text) AS timestamptz), :case_id)")
    return where, parameters | {"due": after.due, "case_id": after.case_id}


async def with_words_looked_up(session: Session, store: str, case_filter: CaseFilter) -> CaseFilter:
    """The filter with the cases of its words, when they are few. Read with it in the same transaction."""
    if case_filter.q is None or case_filter.case_ids is not None:
        return case_filter
    parameters: dict[str, Any] = {"store": store, "most": MOST_RARE + 1}
    async with _planned_for_words(session):
        rows = await session.execute(
            text(f"""SELECT c.case_id FROM notifier.cases c
                     WHERE c.store = :store AND {_has_words(case_filter.q, parameters)} LIMIT :most"""),
            parameters,
        )
        ids = tuple(rows.scalars())
    return case_filter if len(ids) > MOST_RARE else replace(case_filter, case_ids=ids)


def selected(
    case_filter: CaseFilter, conditions: list[str], *, order: str = "ASC", shown: str = "c.*"
) -> str:
    """SQL that selects the first `:limit` cases of `:store` by their clock; an empty `order`: any so many.

    Of some statuses it selects the first of each, so that each is read from its own index in its order.
    """
    where = " AND ".join(["c.store = :store", *conditions])
    first = f"ORDER BY c.due_at {order}, c.case_id {order} LIMIT :limit" if order else "LIMIT :limit"
    if not case_filter.statuses or frozenset(case_filter.statuses) == LIVE:
        return f"SELECT {shown} FROM notifier.cases c WHERE {where} {first}"
    return f"""SELECT one.* FROM unnest(CAST(:statuses AS text[])) AS s(status)
               CROSS JOIN LATERAL (SELECT {shown} FROM notifier.cases c
                                   WHERE {where} AND c.status = s.status {first}) one"""


def conditions(case_filter: CaseFilter) -> tuple[list[str], dict[str, Any]]:
    """The conditions of a filter in SQL about `cases c`, and their parameters."""
    where: list[str] = []
    parameters: dict[str, Any] = {}
    statuses = frozenset(case_filter.statuses)
    if statuses and statuses <= LIVE:
        where.append(IS_LIVE)  # names the partial indexes
    if statuses and statuses != LIVE:
        parameters["statuses"] = [status.value for status in case_filter.statuses]
    for name in ("owner", "priority", "team", "tier"):
        value = getattr(case_filter, name)
        if value == "":
            where.append(f"c.{name} IS NULL")
        elif value is not None:
            where.append(f"c.{name} = :{name}")
            parameters[name] = str(value)
    if case_filter.overdue is not None:
        where.append("c.due_at < now()" if case_filter.overdue else "c.due_at >= now()")
    if case_filter.due_before is not None:
        where.append("c.due_at >= now() AND c.due_at < :due_before")
        parameters["due_before"] = case_filter.due_before
    for name in ("wants_contact", "verified"):
        value = getattr(case_filter, name)
        if value is not None:
            where.append(f"c.{name}" if value else f"NOT c.{name}")
    if case_filter.watcher is not None:
        where.append("c.case_id IN (SELECT w.case_id FROM notifier.case_watchers w WHERE w.who = :watcher)")
        parameters["watcher"] = case_filter.watcher
    if case_filter.case_ids is not None:
        where.append("c.case_id = ANY(CAST(:case_ids AS text[]))")
        parameters["case_ids"] = list(case_filter.case_ids)
    elif case_filter.q is not None:
        where.append(_has_words(case_filter.q, parameters))
    return where, parameters


def _has_words(q: str, parameters: dict[str, Any]) -> str:
    """SQL: a case has all words of `q`, or the number that `q` is. Adds its parameters."""
    parameters["words"] = " & ".join(f"'{_quoted(word)}':*" for word in q.split())
    condition = f"c.words @@ {_QUERY}"
    if match := _NUMBER.fullmatch(q.strip()):
        parameters["number"] = int(match[1])
        return f"({condition} OR c.number = :number)"
    return condition


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "''")
