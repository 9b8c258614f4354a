"""Read cases."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.notifier.api.access import CaseId, Reader, not_found
from services.notifier.api.paging import LARGEST_PAGE, PAGE, bad_cursor, cursor_of, link_next, place_of
from services.notifier.api.shapes import CaseDetailOut, CasesOut
from services.notifier.api.views import shown_case, shown_cases
from services.notifier.domain import LIVE, Priority, Status
from services.notifier.store import cases
from services.notifier.store.cases import Filter, Place
from shared.db import Database
from shared.web import Problem

NOBODY = "none"


def routes(database: Database) -> APIRouter:
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
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> CasesOut:
        wanted = Filter(
            statuses=_statuses(status),
            owner=None if owner is None else ("" if owner == NOBODY else owner),
            priority=priority,
            overdue=overdue,
        )
        async with database.snapshot() as session:
            found = await cases.page(session, key.store, wanted, after=_place(cursor), limit=limit + 1)
            shown = await shown_cases(session, [case for case, _ in found[:limit]])
        if len(found) > limit:
            last = found[limit - 1][1]
            link_next(request, response, cursor_of(last.due, last.case_id))
        return CasesOut(cases=shown)

    @router.get("/cases/{case_id}", summary="A case with its answers, history and deliveries")
    async def read_case(response: Response, key: Reader, case_id: CaseId) -> CaseDetailOut:
        async with database.snapshot() as session:
            case = await cases.read(session, key.store, case_id)
            if case is None:
                raise not_found("case")
            response.headers["ETag"] = f'"{case.version}"'
            return await shown_case(session, case)

    return router


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
    due, case_id = place
    if due != "infinity":
        try:
            datetime.fromisoformat(due)
        except ValueError:
            raise bad_cursor() from None
    return Place(due, case_id)
