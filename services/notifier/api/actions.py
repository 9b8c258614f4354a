"""What people do with a case."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from services.notifier import domain
from services.notifier.api.access import CaseId, Worker, not_found
from services.notifier.api.shapes import CaseDetailOut
from services.notifier.api.views import shown_case
from services.notifier.domain import Case, Change, Illegal, Outcome, Unexplained
from services.notifier.facts import fact_of
from services.notifier.store import cases, customers, deliveries
from shared.access import Key
from shared.db import Database, Outbox, Session
from shared.web import Problem, Text, read_json, request_body
from shared.web.bodies import parse_json

B = TypeVar("B", bound=BaseModel)

LONGEST_SNOOZE = timedelta(days=90)

Word = Annotated[Text, Field(min_length=1, max_length=128)]
Note = Annotated[Text, Field(min_length=1, max_length=4000)]


class _Body(BaseModel):
    """`version`: what the sender saw; 409 when the case changed since. The header If-Match says the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(strict=True, ge=1)] | None = None


class AssignIn(_Body):
    owner: Word


class ContactIn(_Body):
    note: Note | None = None


class NoteIn(_Body):
    note: Note


class ResolveIn(_Body):
    root_cause: Word
    outcome: Outcome | None = None


class CloseIn(_Body):
    """Both are needed, unless they were given when the case was resolved."""

    root_cause: Word | None = None
    outcome: Outcome | None = None


class ReopenIn(_Body):
    pass


class DismissIn(_Body):
    reason: Word


class SnoozeIn(_Body):
    until: AwareDatetime


def body_of(model: type[B]) -> Callable[[Request], Awaitable[B]]:
    """A dependency that reads the body; none at all counts as an empty object."""
    adapter: TypeAdapter[B] = TypeAdapter(model)

    async def read(request: Request) -> B:
        if not await request.body():
            return parse_json(adapter, b"{}")
        return await read_json(request, adapter)

    return read


Do = Callable[[Case, datetime], Change]


@dataclass(frozen=True, slots=True)
class Visit:
    """Who wants to do something with which case."""

    request: Request
    response: Response
    key: Key
    case_id: str


def _visit(request: Request, response: Response, key: Worker, case_id: CaseId) -> Visit:
    return Visit(request, response, key, case_id)


AtCase = Annotated[Visit, Depends(_visit)]


class Acting:
    """One action in one transaction: the case, its history, what it cancels, and the fact for others."""

    def __init__(self, database: Database, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring
        self._outbox = Outbox("notifier")

    async def act(self, visit: Visit, body: _Body, do: Do) -> CaseDetailOut:
        now = datetime.now(UTC)
        async with self._database.transaction() as session:
            case = await self._held(session, visit.key.store, visit.case_id)
            _check_version(case, body, visit.request.headers.get("if-match"))
            change = _decided(case, now, do)
            await self._refuse_second(session, case, change.case)
            await self._write(session, change, visit, now)
            shown = await shown_case(session, change.case)
        self._ring()
        visit.response.headers["ETag"] = f'"{change.case.version}"'
        return shown

    async def _held(self, session: Session, store: str, case_id: str) -> Case:
        """The case, locked after its customer, as everywhere."""
        ref = await cases.customer_of(session, store, case_id)
        if ref is None:
            raise not_found("case")
        await customers.lock(session, [(store, ref)])
        case = await cases.read(session, store, case_id, for_update=True)
        if case is None:
            raise not_found("case")
        return case

    async def _refuse_second(self, session: Session, before: Case, after: Case) -> None:
        if before.live or not after.live:
            return
        for other in await cases.lock(session, [(after.store, after.customer_ref)], []):
            if other.live and other.case_id != after.case_id:
                detail = "The customer has another open case; work on that one."
                raise Problem(409, "another-open-case", detail, case_id=other.case_id)

    async def _write(self, session: Session, change: Change, visit: Visit, now: datetime) -> None:
        case = change.case
        await cases.save(session, [case])
        who = f"key:{visit.key.key_id}"
        await cases.add_history(
            session, [cases.HistoryRow(case.case_id, now, who, entry) for entry in change.entries]
        )
        if change.cancels_alerts:
            await deliveries.cancel(session, [case.case_id])
        fact = fact_of(change, case.response_id, now)
        await self._outbox.put(session, fact, traceparent=visit.request.scope["closeloop.traceparent"])


def _decided(case: Case, now: datetime, do: Do) -> Change:
    """The change, or the problem that says why not."""
    try:
        return do(case, now)
    except Illegal as illegal:
        raise Problem(
            409,
            "not-allowed",
            f"{illegal.action.capitalize()} is not possible for a case that is {illegal.status}.",
            state=illegal.status,
            allowed=illegal.allowed,
        ) from None
    except Unexplained as unexplained:
        errors = [{"pointer": f"/{name}", "detail": "Needed to close."} for name in unexplained.missing]
        raise Problem(422, "invalid", "Closing needs a root cause and an outcome.", errors=errors) from None


def _check_version(case: Case, body: _Body, if_match: str | None) -> None:
    wanted = {str(body.version)} if body.version is not None else set()
    if if_match is not None and if_match.strip() != "*":
        wanted.add(if_match.strip().removeprefix("W/").strip('"'))
    if wanted - {str(case.version)}:
        raise Problem(
            409,
            "changed-meanwhile",
            "Somebody changed the case since you read it. Read it again, then decide.",
            version=case.version,
            state=case.status,
            owner=case.owner,
        )


def _snooze(until: datetime) -> Do:
    def do(case: Case, now: datetime) -> Change:
        if not now < until <= now + LONGEST_SNOOZE:
            error = {"pointer": "/until", "detail": f"In the future, at most {LONGEST_SNOOZE.days} days."}
            raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error])
        return domain.snooze(case, until, now)

    return do


def routes(database: Database, ring: Callable[[], None]) -> APIRouter:
    router = APIRouter(prefix="/cases/{case_id}", tags=["cases"], responses=_REFUSALS)
    acting = Acting(database, ring)

    def body(model: type[B]) -> Any:
        return Depends(body_of(model))

    @router.post("/assign", summary="Give it an owner", openapi_extra=_shown(AssignIn, owner="kim"))
    async def assign(visit: AtCase, given: Annotated[AssignIn, body(AssignIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, lambda case, _: domain.assign(case, given.owner))

    @router.post(
        "/contact",
        summary="The customer was called or written to",
        openapi_extra=_shown(ContactIn, note="Called, apologised"),
    )
    async def contact(visit: AtCase, given: Annotated[ContactIn, body(ContactIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, lambda case, now: domain.contact(case, now, given.note))

    @router.post(
        "/note", summary="Write something down", openapi_extra=_shown(NoteIn, note="Waits for parts")
    )
    async def note(visit: AtCase, given: Annotated[NoteIn, body(NoteIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, lambda case, _: domain.note(case, given.note))

    @router.post(
        "/snooze",
        summary="Pause the clock of the resolution",
        openapi_extra=_shown(SnoozeIn, until="2026-12-01T09:00:00+01:00"),
    )
    async def snooze(visit: AtCase, given: Annotated[SnoozeIn, body(SnoozeIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, _snooze(given.until))

    @router.post(
        "/resolve",
        summary="What was wrong is put right",
        openapi_extra=_shown(ResolveIn, root_cause="courier late", outcome="recovered"),
    )
    async def resolve(visit: AtCase, given: Annotated[ResolveIn, body(ResolveIn)]) -> CaseDetailOut:
        return await acting.act(
            visit,
            given,
            lambda case, now: domain.resolve(case, now, given.root_cause, given.outcome),
        )

    @router.post(
        "/close",
        summary="Done, with a root cause and an outcome",
        openapi_extra=_shown(CloseIn, root_cause="courier late", outcome="recovered"),
    )
    async def close(visit: AtCase, given: Annotated[CloseIn, body(CloseIn)]) -> CaseDetailOut:
        return await acting.act(
            visit,
            given,
            lambda case, now: domain.close(case, now, given.root_cause, given.outcome),
        )

    @router.post("/reopen", summary="Take it up again", openapi_extra=_shown(ReopenIn))
    async def reopen(visit: AtCase, given: Annotated[ReopenIn, body(ReopenIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, domain.reopen)

    @router.post(
        "/dismiss",
        summary="It should not have been a case",
        openapi_extra=_shown(DismissIn, reason="spam"),
    )
    async def dismiss(visit: AtCase, given: Annotated[DismissIn, body(DismissIn)]) -> CaseDetailOut:
        return await acting.act(visit, given, lambda case, now: domain.dismiss(case, now, given.reason))

    return router


def _shown(model: type[BaseModel], **example: Any) -> dict[str, Any]:
    return request_body(model, example)


_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such case in this store"},
    409: {"description": "The state does not allow it (see `allowed`), or the case changed meanwhile"},
    422: {"description": "The body does not fit: see `errors`"},
}
