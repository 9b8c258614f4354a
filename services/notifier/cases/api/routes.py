"""The routes under `/v1/cases`: read cases, change one, and change many at once."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from services.notifier.cases.api import bodies
from services.notifier.cases.api.access import CaseId, Reader, Worker, not_found
from services.notifier.cases.api.bodies import ActIn, BulkIn, ToldIn, WatchIn, body_of
from services.notifier.cases.api.shapes import (
    BulkOut,
    BulkResultOut,
    CaseDetailOut,
    CasesOut,
    detail_out,
    history_out,
    lines_out,
)
from services.notifier.cases.casework import BulkChanged, BulkRefused, CaseDetails, Casework, case_lines
from services.notifier.cases.domain.actions import Watch
from services.notifier.cases.domain.case import LIVE, Priority, Refusal, Status
from services.notifier.cases.refusals import ChangedMeanwhile, NoSuchCase, explain
from services.notifier.cases.store import search
from services.notifier.cases.store.search import CaseFilter, Place
from shared.access import Key
from shared.db import Database
from shared.http import Problem, json_body, request_body
from shared.http.paging import LARGEST_PAGE, PAGE, bad_cursor, cursor_of, link_next, place_of
from shared.http.problems import not_one_of

MOST_CHANGES = 20
"""Changes that a client is told of, when the case changed since it was read."""


def problem_of(refusal: Refusal) -> Problem:
    """The problem that says why a case was not changed."""
    explained = explain(refusal)
    facts = dict(explained.facts)
    if isinstance(refusal, ChangedMeanwhile):
        changes = refusal.entries[-MOST_CHANGES:]
        facts["changes"] = [history_out(row).model_dump(mode="json") for row in changes]
    errors = [{"pointer": f"/{name}", "detail": why} for name, why in explained.fields.items()]
    return Problem(explained.status, explained.kind, explained.detail, errors=errors, **facts)


NOBODY = "none"


def reading_routes(database: Database, casework: Casework) -> APIRouter:
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
        verified: Annotated[
            bool | None, Query(description="False: the customer was only claimed, by a browser")
        ] = None,
        watcher: Annotated[str | None, Query(max_length=128, description="Somebody follows it")] = None,
        q: Annotated[
            str | None,
            Query(max_length=200, description="Words of customer, order or comment; or the case's number"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> CasesOut:
        policy = casework.policy(key.store)
        case_filter = CaseFilter(
            statuses=_statuses(status),
            owner=_or_nobody("owner", owner),
            priority=priority,
            overdue=overdue,
            team=_or_nobody("team", _declared("team", team, (*policy.teams, NOBODY))),
            tier=_declared("tier", tier, policy.tiers),
            q=_storable("q", q.strip()) if q and q.strip() else None,
            due_before=_midnight(policy.zone) if due else None,
            wants_contact=wants_contact,
            verified=verified,
            watcher=_storable("watcher", watcher or "") or None,
        )
        async with database.snapshot() as session:
            page = await search.page(session, key.store, case_filter, after=_place(cursor), limit=limit + 1)
            lines = lines_out(await case_lines(session, [case for case, _ in page[:limit]]))
        if len(page) > limit:
            last = page[limit - 1][1]
            link_next(request, response, cursor_of(last.due, last.case_id))
        return CasesOut(cases=lines)

    @router.get("/cases/{case_id}", summary="A case with its customer, history and deliveries")
    async def read_case(response: Response, key: Reader, case_id: CaseId) -> CaseDetailOut:
        try:
            details = await casework.show(key.store, case_id)
        except NoSuchCase:
            raise not_found("case") from None
        response.headers["ETag"] = f'"{details.case.version}"'
        return detail_out(details)

    return router


def _or_nobody(parameter: str, name: str | None) -> str | None:
    """`none` stands for nobody's."""
    return "" if name == NOBODY else _storable(parameter, name or "") or None


def _declared(parameter: str, name: str | None, names: Collection[str]) -> str | None:
    """The name, if the store's configuration has it. Raises Problem 422 with what it has."""
    if name and name not in names:
        raise not_one_of(names, parameter, f"/query/{parameter}")
    return name or None


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
    statuses: set[Status] = set()
    for word in filter(None, text.split(",")):
        if word == "live":
            statuses |= LIVE
        elif word in Status.__members__.values():
            statuses.add(Status(word))
        else:
            states = ", ".join(Status)
            error = {"pointer": "/query/status", "detail": f"A state is one of {states}, or live."}
            raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error])
    return tuple(sorted(statuses))


def _place(cursor: str | None) -> Place | None:
    place = place_of(cursor, 2)
    if place is None:
        return None
    try:
        return Place.read(*place)
    except ValueError:
        raise bad_cursor() from None


# What people do with a case, and with many at once.

ANY_VERSION = -1
"""The version of no case: what an If-Match that is no number counts as."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to change a case: the key that sends it, and the id of the case."""

    request: Request
    response: Response
    key: Key
    case_id: str

    @property
    def who(self) -> str:
        return f"key:{self.key.key_id}"

    @property
    def traceparent(self) -> str:
        traceparent: str = self.request.scope["closeloop.traceparent"]
        return traceparent

    async def answered(self, work: Awaitable[CaseDetails]) -> CaseDetailOut:
        """The case as it is after the work, or the problem that says why it was not done."""
        try:
            details = await work
        except Refusal as refusal:
            raise problem_of(refusal) from None
        self.response.headers["ETag"] = f'"{details.case.version}"'
        return detail_out(details)


def _visit(request: Request, response: Response, key: Worker, case_id: CaseId) -> Visit:
    return Visit(request, response, key, case_id)


AtCase = Annotated[Visit, Depends(_visit)]


def _version(body: ActIn, if_match: str | None) -> int | None:
    """What the sender saw, as body and header say it; the older one when they differ."""
    if if_match is None or if_match.strip() == "*":
        return body.version
    tag = if_match.strip().removeprefix("W/").strip('"')
    seen = int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else ANY_VERSION
    return seen if body.version is None else min(seen, body.version)


def acting_routes(casework: Casework) -> APIRouter:
    router = APIRouter(tags=["cases"], responses=_REFUSALS)
    for name, model, summary, example in _ACTIONS:
        router.add_api_route(
            f"/cases/{{case_id}}/{name}",
            _acting(casework, model),
            methods=["POST"],
            name=name,
            summary=summary,
            openapi_extra=request_body(model, example),
        )

    def watching(*, on: bool) -> Callable[..., Awaitable[CaseDetailOut]]:
        async def watch(visit: AtCase, body: Annotated[WatchIn, _body(WatchIn)]) -> CaseDetailOut:
            command = Watch(body.watcher, watching=on)
            return await visit.answered(casework.watch(visit.key.store, visit.case_id, visit.who, command))

        return watch

    for name, summary in (("watch", "Let somebody follow it"), ("unwatch", "Follow it no more")):
        router.add_api_route(
            f"/cases/{{case_id}}/{name}",
            watching(on=name == "watch"),
            methods=["POST"],
            name=name,
            summary=summary,
            openapi_extra=request_body(WatchIn, {"watcher": "kim@example.com"}),
        )

    @router.post(
        "/cases/{case_id}/told",
        name="told",
        summary="The customer was told what was done about the root cause",
        openapi_extra=request_body(ToldIn, {}),
    )
    async def customer_informed(visit: AtCase, _: Annotated[ToldIn, _body(ToldIn)]) -> CaseDetailOut:
        return await visit.answered(casework.customer_informed(visit.key.store, visit.case_id, visit.who))

    @router.post(
        "/cases:bulk",
        summary="The same action on up to 200 cases, each on its own",
        openapi_extra=request_body(
            BulkIn, {"action": "assign", "owner": "kim@example.com", "cases": [{"id": "0193…", "version": 2}]}
        ),
    )
    async def bulk(request: Request, key: Worker, body: Annotated[BulkIn, _bulk_body]) -> BulkOut:
        results = await casework.bulk(
            key.store,
            [(chosen.id, chosen.version) for chosen in body.cases],
            f"key:{key.key_id}",
            body.command(),
            traceparent=request.scope["closeloop.traceparent"],
        )
        return BulkOut(results=[_result(result) for result in results])

    return router


def _acting(casework: Casework, model: type[ActIn]) -> Callable[..., Awaitable[CaseDetailOut]]:
    async def act(visit: AtCase, body: Annotated[ActIn, _body(model)]) -> CaseDetailOut:
        return await visit.answered(
            casework.act(
                visit.key.store,
                visit.case_id,
                visit.who,
                body.command(),
                version=_version(body, visit.request.headers.get("if-match")),
                traceparent=visit.traceparent,
            )
        )

    return act


def _body(model: type[BaseModel]) -> Any:
    return Depends(body_of(model))


_bulk_body: Any = Depends(json_body(cast(Any, BulkIn)))


def _result(result: BulkChanged | BulkRefused) -> BulkResultOut:
    if isinstance(result, BulkChanged):
        return BulkResultOut(
            id=result.case_id, ok=True, state=result.case.status, version=result.case.version
        )
    problem = problem_of(result.why)
    return BulkResultOut(
        id=result.case_id,
        ok=False,
        state=problem.extra.get("state"),
        version=problem.extra.get("version"),
        problem={
            "type": f"urn:closeloop:problem:{problem.type}",
            "status": problem.status,
            "detail": problem.detail,
            **({"errors": problem.errors} if problem.errors else {}),
            **problem.extra,
        },
    )


_CLOSED = {"root_cause": "courier late", "outcome": "recovered"}

_ACTIONS: tuple[tuple[str, type[ActIn], str, dict[str, Any]], ...] = (
    ("assign", bodies.AssignIn, "Give it an owner", {"owner": "kim@example.com"}),
    ("contact", bodies.ContactIn, "The customer was called or written to", {"note": "Called, apologised"}),
    ("note", bodies.NoteIn, "Write something down", {"note": "Waits for parts"}),
    ("snooze", bodies.SnoozeIn, "Pause the clock of the resolution", {"until": "2026-12-01T09:00:00+01:00"}),
    ("resolve", bodies.ResolveIn, "What was wrong is put right", _CLOSED),
    ("close", bodies.CloseIn, "Done, with a root cause and an outcome", _CLOSED),
    ("reopen", bodies.ReopenIn, "Take it up again", {}),
    ("dismiss", bodies.DismissIn, "It should not have been a case", {"reason": "spam"}),
)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such case in this store"},
    409: {"description": "The state does not allow it (see `allowed`), or the case changed (see `changes`)"},
    422: {"description": "The body does not fit: see `errors`"},
}
