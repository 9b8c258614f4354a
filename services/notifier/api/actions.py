"""What people do with a case, and with many at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from services.notifier.api.refusals import problem_of
from services.notifier.api.views import detail_out
from services.notifier.cases.api import bodies
from services.notifier.cases.api.access import CaseId, Worker
from services.notifier.cases.api.bodies import ActIn, BulkIn, ToldIn, WatchIn, body_of
from services.notifier.cases.api.shapes import BulkOut, BulkResultOut, CaseDetailOut
from services.notifier.cases.casework import REFUSALS, Casework, Done, Refused
from services.notifier.reading import Shown
from shared.access import Key
from shared.http import json_body, request_body

ANY_VERSION = -1
"""What no case has: an If-Match that is no version of ours."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who wants to do something with which case."""

    request: Request
    response: Response
    key: Key
    case_id: str

    @property
    def who(self) -> str:
        return f"key:{self.key.key_id}"

    @property
    def traceparent(self) -> str:
        found: str = self.request.scope["closeloop.traceparent"]
        return found

    async def shown(self, work: Awaitable[Shown]) -> CaseDetailOut:
        """The case as it is after the work, or the problem that says why it was not done."""
        try:
            shown = await work
        except REFUSALS as refusal:
            raise problem_of(refusal) from None
        self.response.headers["ETag"] = f'"{shown.case.version}"'
        return detail_out(shown)


def _visit(request: Request, response: Response, key: Worker, case_id: CaseId) -> Visit:
    return Visit(request, response, key, case_id)


AtCase = Annotated[Visit, Depends(_visit)]


def _version(body: ActIn, if_match: str | None) -> int | None:
    """What the sender saw, as body and header say it; the older one when they differ."""
    if if_match is None or if_match.strip() == "*":
        return body.version
    said = if_match.strip().removeprefix("W/").strip('"')
    seen = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else ANY_VERSION
    return seen if body.version is None else min(seen, body.version)


def routes(casework: Casework) -> APIRouter:
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
        async def watch(visit: AtCase, given: Annotated[WatchIn, _body(WatchIn)]) -> CaseDetailOut:
            work = casework.watch(visit.key.store, visit.case_id, visit.who, given.watcher, watching=on)
            return await visit.shown(work)

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
        summary="The customer was told what was done about the root cause",
        openapi_extra=request_body(ToldIn, {}),
    )
    async def told(visit: AtCase, _: Annotated[ToldIn, _body(ToldIn)]) -> CaseDetailOut:
        return await visit.shown(casework.told(visit.key.store, visit.case_id, visit.who))

    @router.post(
        "/cases:bulk",
        summary="The same action on up to 200 cases, each on its own",
        openapi_extra=request_body(
            BulkIn, {"action": "assign", "owner": "kim@example.com", "cases": [{"id": "0193…", "version": 2}]}
        ),
    )
    async def bulk(request: Request, key: Worker, given: Annotated[BulkIn, _bulk_body]) -> BulkOut:
        results = await casework.bulk(
            key.store,
            [(chosen.id, chosen.version) for chosen in given.cases],
            f"key:{key.key_id}",
            given.does(),
            traceparent=request.scope["closeloop.traceparent"],
        )
        return BulkOut(results=[_result(result) for result in results])

    return router


def _acting(casework: Casework, model: type[ActIn]) -> Callable[..., Awaitable[CaseDetailOut]]:
    async def act(visit: AtCase, given: Annotated[ActIn, _body(model)]) -> CaseDetailOut:
        return await visit.shown(
            casework.act(
                visit.key.store,
                visit.case_id,
                visit.who,
                given.does(),
                version=_version(given, visit.request.headers.get("if-match")),
                traceparent=visit.traceparent,
            )
        )

    return act


def _body(model: type[BaseModel]) -> Any:
    return Depends(body_of(model))


_bulk_body: Any = Depends(json_body(cast(Any, BulkIn)))


def _result(result: Done | Refused) -> BulkResultOut:
    if isinstance(result, Done):
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
