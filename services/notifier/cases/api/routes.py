"""Read cases."""

from datetime import datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from services.notifier import reading
from services.notifier.api.paging import LARGEST_PAGE, PAGE, bad_cursor, cursor_of, link_next, place_of
from services.notifier.api.views import detail_out, lines_out
from services.notifier.cases.api.access import CaseId, Reader, not_found
from services.notifier.cases.api.shapes import CaseDetailOut, CasesOut
from services.notifier.cases.casework import Casework, NoSuchCase
from services.notifier.cases.domain.rules import Priority
from services.notifier.domain.states import LIVE, Status
from services.notifier.inbox import search_store
from services.notifier.inbox.search_store import Filter, Place
from shared.db import Database
from shared.http import Problem

NOBODY = "none"


def routes(database: Database, casework: Casework) -> APIRouter:
    router = APIRouter(tags=["cases"])

    @router.get("/cases", summary="Cases, the clock that runs out first on top")
    async def read_cases(  # noqa: PLR0917 - the parameters of the address
        request: Request,
        response: Response,
        key: Reader,
        status: Annotated[
            str,
            Query(max_length=120, description="States, with commas; `live`: all but closed and dismissed"),
        ] = "",
        owner: Annotated[str | None, Query(max_length=128, description="Whose; `none` for nobody's")] = None,
        priority: Annotated[Priority | None, Query()] = None,
        overdue: Annotated[bool | None, Query(description="Whether a clock ran out")] = None,
        due: Annotated[Literal["today"] | None, Query(description="A clock runs out later today")] = None,
        team: Annotated[str | None, Query(max_length=64, description="`none` for no team's")] = None,
        tier: Annotated[str | None, Query(max_length=64, description="The customer's, at opening")] = None,
        wants_contact: Annotated[bool | None, Query(description="The customer asked to be called")] = None,
        watcher: Annotated[str | None, Query(max_length=128, description="Somebody follows it")] = None,
        q: Annotated[
            str | None,
            Query(max_length=200, description="Words of customer, order or comment; or the case's number"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> CasesOut:
        wanted = Filter(
            statuses=_statuses(status),
            owner=_or_nobody("owner", owner),
            priority=priority,
            overdue=overdue,
            team=_or_nobody("team", team),
            tier=_storable("tier", tier or "") or None,
            q=_storable("q", q.strip()) if q and q.strip() else None,
            due_before=_midnight(casework.policy(key.store).zone) if due else None,
            wants_contact=wants_contact,
            watcher=_storable("watcher", watcher or "") or None,
        )
        async with database.snapshot() as session:
            found = await search_store.page(session, key.store, wanted, after=_place(cursor), limit=limit + 1)
            shown = lines_out(await reading.lines(session, [case for case, _ in found[:limit]]))
        if len(found) > limit:
            last = found[limit - 1][1]
            link_next(request, response, cursor_of(last.due, last.case_id))
        return CasesOut(cases=shown)

    @router.get("/cases/{case_id}", summary="A case with its customer, history and deliveries")
    async def read_case(response: Response, key: Reader, case_id: CaseId) -> CaseDetailOut:
        try:
            shown = await casework.show(key.store, case_id)
        except NoSuchCase:
            raise not_found("case") from None
        response.headers["ETag"] = f'"{shown.case.version}"'
        return detail_out(shown)

    return router


def _or_nobody(parameter: str, name: str | None) -> str | None:
    """`none` stands for nobody's."""
    return "" if name == NOBODY else _storable(parameter, name or "") or None


def _storable(name: str, text: str) -> str:
    if "\0" in text:
        error = {"pointer": f"/query/{name}", "detail": "It may not hold the character U+0000."}
        raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error])
    return text


def _midnight(zone: ZoneInfo) -> datetime:
    """The end of today, where the store is."""
    tomorrow = datetime.now(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone)


def _statuses(text: str) -> tuple[Status, ...]:
    wanted: set[Status] = set()
    for word in filter(None, text.split(",")):
        if word == "live":
            wanted |= LIVE
        elif word in Status.__members__.values():
            wanted.add(Status(word))
        else:
            known = ", ".join(Status)
            error = {"pointer": "/query/status", "detail": f"A state is one of {known}, or live."}
            raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error])
    return tuple(sorted(wanted))


def _place(cursor: str | None) -> Place | None:
    place = place_of(cursor, 2)
    if place is None:
        return None
    try:
        return Place.read(*place)
    except ValueError:
        raise bad_cursor() from None
