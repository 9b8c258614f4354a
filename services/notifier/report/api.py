"""The report, and telling customers what changed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from services.notifier.api.paging import cursor_of, link_next, place_of
from services.notifier.api.report_shapes import (
    CustomersToTellOut,
    ReportAsked,
    ReportOut,
    TellAsked,
    ToldOut,
)
from services.notifier.api.report_views import report_out, to_tell_out
from services.notifier.cases.api.access import Reader, Worker
from services.notifier.cases.store import answers
from services.notifier.report import Asked, Report, build, download
from services.notifier.report.asking import NotAPeriod, period_of
from services.notifier.store import told
from shared.access import Key
from shared.config.stores import Store
from shared.db import Database
from shared.http import Problem, Text

Cause = Annotated[Text, Path(min_length=1, max_length=128, examples=["Carrier delay"])]


class _Asking:
    """Reads what is asked against the store's own calendar."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores

    def store(self, key: Key) -> Store:
        if key.store not in self._stores:
            raise Problem(404, "not-found", "The configuration no longer has this key's store.")
        return self._stores[key.store]

    def asked(self, key: Key, query: ReportAsked) -> Asked:
        """Raises Problem 422 for a period that is none."""
        now = datetime.now(UTC)
        try:
            period = period_of(query.period, query.start, query.end, now, self.store(key))
        except NotAPeriod as wrong:
            error = {"pointer": f"/query/{wrong.field}", "detail": str(wrong)}
            raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error]) from None
        return Asked(key.store, period, now, query.team, query.priority)


def routes(database: Database, stores: Mapping[str, Store]) -> APIRouter:
    """Included before the routes of single cases: `report` is no case's id."""
    router = APIRouter(prefix="/v1/cases", tags=["report"])
    asking = _Asking(stores)

    async def read(key: Key, query: ReportAsked) -> Report:
        asked = asking.asked(key, query)
        async with database.snapshot() as session:
            return await build(session, asked, asking.store(key))

    @router.get(
        "/report",
        summary="How fast, how well, and what comes back; CSV with `Accept: text/csv`",
        response_model=ReportOut,
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def read_report(
        request: Request, key: Reader, query: Annotated[ReportAsked, Query()]
    ) -> ReportOut | Response:
        report = await read(key, query)
        return _download(report) if _wants_csv(request) else report_out(report)

    @router.get("/report.csv", summary="The report as CSV (RFC 4180)", response_class=Response)
    async def read_csv(key: Reader, query: Annotated[ReportAsked, Query()]) -> Response:
        return _download(await read(key, query))

    @router.get("/causes/{cause:path}/customers", summary="Whom to tell what changed about a root cause")
    async def read_customers(
        request: Request,
        response: Response,
        key: Reader,
        cause: Cause,
        query: Annotated[TellAsked, Query()],
    ) -> CustomersToTellOut:
        """Of cases that were closed in the period with this root cause, and whose customer was not told."""
        asked = asking.asked(key, query)
        place = place_of(query.cursor, 1)
        start, end = asked.period.start, asked.period.end
        async with database.snapshot() as session:
            found = await told.to_tell(
                session,
                asked.scope,
                cause,
                start,
                end,
                after=place[0] if place else "",
                limit=query.limit + 1,
            )
            shown = found[: query.limit]
            known = await answers.read(session, {(key.store, case.response_id) for case in shown})
        if len(found) > query.limit:
            link_next(request, response, cursor_of(shown[-1].case_id))
        people = {response_id: answer.body.person for (_, response_id), answer in known.items()}
        return CustomersToTellOut(
            cause=cause,
            start=start,
            end=end,
            customers=[to_tell_out(case, people.get(case.response_id)) for case in shown],
        )

    @router.post("/causes/{cause:path}/told", summary="These customers were told what changed")
    async def mark_told(key: Worker, cause: Cause, query: Annotated[ReportAsked, Query()]) -> ToldOut:
        """Written in the history of each case, by whom and when. A repeat marks nothing again."""
        asked = asking.asked(key, query)
        async with database.transaction() as session:
            count = await told.mark(
                session,
                asked.scope,
                cause,
                asked.period.start,
                asked.period.end,
                who=f"key:{key.key_id}",
                now=asked.now,
            )
        return ToldOut(cause=cause, told=count)

    return router


def _wants_csv(request: Request) -> bool:
    accepted = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    return "text/csv" in accepted and "application/json" not in accepted


def _download(report: Report) -> Response:
    text, headers = download(report)
    return Response(text, headers=headers)
