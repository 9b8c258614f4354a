"""You said, we did: the customers of a root cause that is fixed, to be told what changed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.notifier.cases.store import answers
from services.notifier.report import store as told
from services.notifier.report.csv import csv_headers, csv_of
from services.notifier.report.figures import Asked, NotAPeriod, asked_of
from services.notifier.report.page import PATH
from services.notifier.report.store import ToTell
from services.notifier.report.wording import day, minute
from shared.config.stores import Store
from shared.db import Database, Session
from shared.http import Problem
from shared.pages.forms import Form, form_of
from shared.pages.notices import Notice
from shared.pages.pages import Pages
from shared.pages.people import At, member

_SHOWN = 200
_EXPORTED = 10_000

Anybody = Annotated[At, Depends(member())]
Sent = Annotated[Form, Depends(form_of)]


def tell_routes(database: Database, pages: Pages) -> APIRouter:
    """`/inbox/report/tell`: the list, its CSV, and the mark."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{PATH}/tell")
    async def read(request: Request, at: Anybody) -> Response:
        store = pages.stores[at.store]
        cause, asked = _asked(request.query_params, at, store)
        async with database.snapshot() as session:
            people = await _customers(session, asked, cause, _SHOWN)
            waiting = (await told.waiting(session, asked.scope, asked.period.start, asked.period.end)).get(
                cause, 0
            )
        fields = _fields(asked, cause)
        return pages.html(
            request,
            "tell.html",
            cause=cause,
            people=people,
            waiting=waiting,
            fields_given=fields,
            csv=f"{PATH}/tell.csv?{urlencode(fields)}",
            between=f"{day(asked.period.start, store.zone)} and {minute(asked.period.end, store.zone)}",
        )

    @router.get(f"{PATH}/tell.csv")
    async def read_csv(request: Request, at: Anybody) -> Response:
        store = pages.stores[at.store]
        cause, asked = _asked(request.query_params, at, store)
        async with database.snapshot() as session:
            people = await _customers(session, asked, cause, _EXPORTED)
        header = ("case", "customer_id", "email", "name", "closed", "outcome")
        rows = [
            (
                case.number,
                person.id if person else None,
                person.email if person else None,
                person.name if person else None,
                case.closed_at.astimezone(store.zone).isoformat(timespec="seconds"),
                case.outcome,
            )
            for case, person in people
        ]
        return Response(csv_of([header, *rows]), headers=csv_headers(f"tell-{at.store}"))

    @router.post(f"{PATH}/tell")
    async def mark(request: Request, at: Anybody, form: Sent) -> Response:
        """Just those that were on the list: who was closed after it was read is on the next one."""
        names = ("store", "cause", "from", "to", "team", "priority")
        given = {name: form.text(name, longest=200) for name in names}
        cause, asked = _asked(given, at, pages.stores[at.store])
        async with database.transaction() as session:
            count = await told.mark(
                session,
                asked.scope,
                cause,
                asked.period.start,
                asked.period.end,
                who=f"user:{at.person.email}",
                now=datetime.now(UTC),
            )
        text = f"{count:,} cases of “{cause}” are marked: their customers were told what changed."
        return pages.go(request, f"{PATH}?store={at.store}", Notice("ok", text))

    return router


def _asked(query: Mapping[str, str], at: At, store: Store) -> tuple[str, Asked]:
    """The cause, and from when to when. Raises Problem 422."""
    cause = query.get("cause", "")
    if not 1 <= len(cause) <= 128 or "\0" in cause:
        raise Problem(422, "invalid", "Say which root cause.")
    try:
        return cause, asked_of(query, at.store, store, datetime.now(UTC))
    except NotAPeriod as wrong:
        raise Problem(422, "invalid", str(wrong)) from None


def _fields(asked: Asked, cause: str) -> dict[str, str]:
    fields = {
        "store": asked.store,
        "cause": cause,
        "from": asked.period.start.isoformat(),
        "to": min(asked.period.end, asked.now).isoformat(),
        "team": asked.team or "",
        "priority": asked.priority or "",
    }
    return {name: value for name, value in fields.items() if value}


async def _customers(session: Session, asked: Asked, cause: str, limit: int) -> list[tuple[ToTell, Any]]:
    """Each case with the person of its answer, None where the answer is gone."""
    period = asked.period
    cases = await told.to_tell(session, asked.scope, cause, period.start, period.end, limit=limit)
    known = await answers.read(session, {(asked.store, case.response_id) for case in cases})
    people = {response_id: answer.body.person for (_, response_id), answer in known.items()}
    return [(case, people.get(case.response_id)) for case in cases]
