"""The report and the customers to inform about a root cause, as clients of the API get them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.notifier.cases.api.access import Reader, Worker
from services.notifier.cases.domain.case import Outcome, Priority
from services.notifier.cases.domain.policy import NO_POLICY, Policy
from services.notifier.cases.store import answers
from services.notifier.report import store
from services.notifier.report.csv import download
from services.notifier.report.domain import FIRST_CONTACT_HOURS, Share
from services.notifier.report.figures import CauseFigures, OwnerFigures, Report, build_report
from services.notifier.report.query import InvalidQuery, ReportQuery, parse_period
from services.notifier.report.store import ChannelDeliveries, CustomerToInform
from shared.access import Key
from shared.config.stores import Store
from shared.db import Database
from shared.feedback.comparison import Verdict
from shared.feedback.nps import round1
from shared.http import Problem, Text
from shared.http.paging import cursor_of, link_next, place_of
from shared.http.problems import not_one_of


class ReportParameters(BaseModel):
    """Which report to read. An unknown parameter is an error, so that a typo does not read another one."""

    model_config = ConfigDict(extra="forbid")

    store: Text | None = Field(None, max_length=64, description="The key's own store, if it is named at all")
    period: str | None = Field(
        None,
        max_length=32,
        description="7d, 30d (the default), month:2026-10 or quarter:2026-Q3; months in the store's zone",
        examples=["30d"],
    )
    start: str | None = Field(
        None, alias="from", max_length=40, description="RFC 3339 with offset; instead of `period`"
    )
    end: str | None = Field(
        None, alias="to", max_length=40, description="RFC 3339 with offset; now if absent"
    )
    team: Text | None = Field(None, min_length=1, max_length=64, description="`none`: cases of no team")
    priority: Priority | None = None


class CustomersParameters(ReportParameters):
    limit: int = Field(200, ge=1, le=1000)
    cursor: str | None = Field(None, max_length=400)


class ShareOut(BaseModel):
    """`count` of `of`, in percent with one decimal; null of nothing, never 0."""

    count: int
    of: int
    percent: float | None
    ci95: tuple[float, float] | None = Field(description="Wilson's interval")


class SpanOut(BaseModel):
    """Seconds, by each case's own clock (working hours, or around the clock)."""

    p50: float | None
    p90: float | None


class BarOut(BaseModel):
    upto_hours: int | None = Field(description="Null: all that took longer")
    cases: int


class OpenOut(BaseModel):
    """As things are now, whatever the period."""

    open: int
    unassigned: int
    ages: dict[str, int]


class OwnerOut(BaseModel):
    """`enough` is false under 5 cases: then nothing is said about the person."""

    owner: str | None = Field(description="Null: nobody")
    open: int
    closed: int
    enough: bool
    in_time: ShareOut | None
    first_contact_p50: float | None


class ReopenedOut(BaseModel):
    """Of the cases closed in the period, those opened again before its end."""

    now: ShareOut
    before: ShareOut
    verdict: Verdict


class RecoveredOut(BaseModel):
    """`noted`: as the owner says, of closed cases. `proved`: the customer's next answer of the same metric
    is no longer a detractor, of those who answered again."""

    noted: ShareOut
    proved: ShareOut


class CauseOut(BaseModel):
    cause: str = Field(description="Empty: none was given")
    cases: int
    before: int
    change: int
    months: int = Field(description="In how many of the last months it took 15% or more of what was closed")
    of_months: int
    recurring: bool
    to_tell: int = Field(description="Customers of closed cases who were not told what changed")


class ChannelOut(BaseModel):
    """Seconds from the first attempt until it was delivered."""

    channel: str
    sent: int
    delivered: int
    in_digest: int
    waiting: int
    retrying: int
    dead: int
    p50: float | None
    p99: float | None


class ReportOut(BaseModel):
    store: str
    period: str | None
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    compared_with: datetime = Field(description="Where the period before begins; it ends at `from`")
    zone: str
    team: str | None
    priority: Priority | None
    opened: int
    closed: int
    reopened: int
    dismissed: int
    now: OpenOut
    first_contact: SpanOut
    first_contact_bars: list[BarOut]
    close: SpanOut
    in_working_hours: int = Field(description="Of the cases opened, those with a clock of working hours")
    contacted_in_time: ShareOut
    resolved_in_time: ShareOut
    reopened_of_closed: ReopenedOut
    recovered: RecoveredOut
    outcomes: dict[Outcome, int]
    owners: list[OwnerOut]
    causes: list[CauseOut]
    channels: list[ChannelOut] = Field(description="Of the whole store")


class CustomerToTellOut(BaseModel):
    case_id: str
    number: int
    customer_ref: str
    customer_id: str | None
    email: str | None
    name: str | None
    closed_at: datetime
    outcome: str | None
    owner: str | None


class CustomersToTellOut(BaseModel):
    """A page; the next one is in the header `Link`, rel=next.

    Send `from` and `to` back to `told`, and just these are marked.
    """

    cause: str
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    customers: list[CustomerToTellOut]


class ToldOut(BaseModel):
    cause: str
    told: int = Field(description="Cases marked now; those marked before stay as they are")


RootCause = Annotated[Text, Path(min_length=1, max_length=128, examples=["Carrier delay"])]


class _QueryReader:
    """Turns the parameters of a request into a query, by the calendar of the key's store."""

    def __init__(self, stores: Mapping[str, Store], policies: Mapping[str, Policy]) -> None:
        self._stores = stores
        self._policies = policies

    def store_config(self, key: Key) -> Store:
        """Raises Problem 404 when the configuration no longer has the store."""
        if key.store not in self._stores:
            raise Problem(404, "not-found", "The configuration no longer has this key's store.")
        return self._stores[key.store]

    def query(self, key: Key, parameters: ReportParameters) -> ReportQuery:
        """Raises Problem 422 for a period that is none, and for a team that the store does not have."""
        now = datetime.now(UTC)
        try:
            period = parse_period(
                parameters.period, parameters.start, parameters.end, now, self.store_config(key)
            )
        except InvalidQuery as invalid:
            error = {"pointer": f"/query/{invalid.field}", "detail": str(invalid)}
            raise Problem(422, "invalid", "The request does not fit: see errors.", errors=[error]) from None
        teams = (*self._policies.get(key.store, NO_POLICY).teams, store.NO_TEAM)
        if parameters.team is not None and parameters.team not in teams:
            raise not_one_of(teams, "team", "/query/team")
        return ReportQuery(key.store, period, now, parameters.team, parameters.priority)


def routes(database: Database, stores: Mapping[str, Store], policies: Mapping[str, Policy]) -> APIRouter:
    """Included before the routes of single cases: `report` is no case's id."""
    router = APIRouter(prefix="/v1/cases", tags=["report"])
    reader = _QueryReader(stores, policies)

    async def read(key: Key, parameters: ReportParameters) -> Report:
        query = reader.query(key, parameters)
        async with database.snapshot() as session:
            return await build_report(session, query, reader.store_config(key))

    @router.get(
        "/report",
        summary="How fast, how well, and what comes back; CSV with `Accept: text/csv`",
        response_model=ReportOut,
        responses={200: {"content": {"text/csv": {}}}},
    )
    async def read_report(
        request: Request, key: Reader, parameters: Annotated[ReportParameters, Query()]
    ) -> ReportOut | Response:
        report = await read(key, parameters)
        return _download(report) if _wants_csv(request) else report_out(report)

    @router.get("/report.csv", summary="The report as CSV (RFC 4180)", response_class=Response)
    async def read_csv(key: Reader, parameters: Annotated[ReportParameters, Query()]) -> Response:
        return _download(await read(key, parameters))

    @router.get("/causes/{cause:path}/customers", summary="Whom to tell what changed about a root cause")
    async def read_customers(
        request: Request,
        response: Response,
        key: Reader,
        cause: RootCause,
        parameters: Annotated[CustomersParameters, Query()],
    ) -> CustomersToTellOut:
        """Of cases that were closed in the period with this root cause, and whose customer was not told."""
        query = reader.query(key, parameters)
        place = place_of(parameters.cursor, 1)
        start, end = query.period.start, query.period.end
        async with database.snapshot() as session:
            cases = await store.customers_to_inform(
                session,
                query.scope,
                cause,
                start,
                end,
                after=place[0] if place else "",
                limit=parameters.limit + 1,
            )
            shown = cases[: parameters.limit]
            stored_answers = await answers.read(session, {(key.store, case.response_id) for case in shown})
        if len(cases) > parameters.limit:
            link_next(request, response, cursor_of(shown[-1].case_id))
        people = {response_id: answer.body.person for (_, response_id), answer in stored_answers.items()}
        return CustomersToTellOut(
            cause=cause,
            start=start,
            end=end,
            customers=[customer_to_tell_out(case, people.get(case.response_id)) for case in shown],
        )

    @router.post("/causes/{cause:path}/told", summary="These customers were told what changed")
    async def mark_told(
        key: Worker, cause: RootCause, parameters: Annotated[ReportParameters, Query()]
    ) -> ToldOut:
        """Written in the history of each case, by whom and when. A repeat marks nothing again."""
        query = reader.query(key, parameters)
        async with database.transaction() as session:
            count = await store.mark_customers_informed(
                session,
                query.scope,
                cause,
                query.period.start,
                query.period.end,
                who=f"key:{key.key_id}",
                now=query.now,
            )
        return ToldOut(cause=cause, told=count)

    return router


def _wants_csv(request: Request) -> bool:
    accepted = [part.split(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    return "text/csv" in accepted and "application/json" not in accepted


def _download(report: Report) -> Response:
    text, headers = download(report)
    return Response(text, headers=headers)


def share_out(share: Share) -> ShareOut:
    percent, ci95 = share.percent, share.ci95
    return ShareOut(
        count=share.count,
        of=share.of,
        percent=None if percent is None else round1(percent),
        ci95=None if ci95 is None else (round1(ci95.lo), round1(ci95.hi)),
    )


def report_out(report: Report) -> ReportOut:
    query, contacts, ended = report.query, report.contacts, report.ended
    return ReportOut(
        store=query.store,
        period=query.period.name or None,
        start=query.period.start,
        end=query.period.end,
        compared_with=query.period.before,
        zone=report.zone,
        team=query.team,
        priority=query.priority,
        opened=contacts.opened,
        closed=ended.closed,
        reopened=report.reopenings,
        dismissed=ended.dismissed,
        now=OpenOut(open=report.now.open, unassigned=report.now.unassigned, ages=report.now.ages),
        first_contact=SpanOut(p50=contacts.median, p90=contacts.nine_of_ten),
        first_contact_bars=[
            BarOut(upto_hours=hours, cases=cases)
            for hours, cases in zip((*FIRST_CONTACT_HOURS, None), contacts.bars, strict=True)
        ],
        close=SpanOut(p50=ended.median, p90=ended.nine_of_ten),
        in_working_hours=contacts.business,
        contacted_in_time=share_out(report.contacted_in_time),
        resolved_in_time=share_out(report.resolved_in_time),
        reopened_of_closed=ReopenedOut(
            now=share_out(report.reopened),
            before=share_out(report.reopened_before),
            verdict=report.reopened_verdict,
        ),
        recovered=RecoveredOut(noted=share_out(report.noted), proved=share_out(report.proved)),
        outcomes={Outcome(name): count for name, count in report.outcomes.items()},
        owners=[_owner_out(owner) for owner in report.owners],
        causes=[_cause_out(cause) for cause in report.causes],
        channels=[_channel_out(channel) for channel in report.channels],
    )


def _owner_out(owner: OwnerFigures) -> OwnerOut:
    return OwnerOut(
        owner=owner.load.owner,
        open=owner.load.open,
        closed=owner.load.closed,
        enough=owner.enough,
        in_time=share_out(owner.in_time) if owner.enough else None,
        first_contact_p50=owner.load.median if owner.enough else None,
    )


def _cause_out(cause: CauseFigures) -> CauseOut:
    return CauseOut(
        cause=cause.cause,
        cases=cause.cases,
        before=cause.before,
        change=cause.change,
        months=cause.months,
        of_months=cause.of_months,
        recurring=cause.recurring,
        to_tell=cause.customers_to_inform,
    )


def _channel_out(channel: ChannelDeliveries) -> ChannelOut:
    return ChannelOut(
        channel=channel.channel,
        sent=channel.alerts_made,
        delivered=channel.delivered,
        in_digest=channel.digested,
        waiting=channel.waiting,
        retrying=channel.retrying,
        dead=channel.dead,
        p50=channel.median,
        p99=channel.slowest,
    )


def customer_to_tell_out(case: CustomerToInform, person: Any) -> CustomerToTellOut:
    """`person`: as the answer names them, or None when the answer is not there."""
    return CustomerToTellOut(
        case_id=case.case_id,
        number=case.number,
        customer_ref=case.customer_ref,
        customer_id=person.id if person else None,
        email=person.email if person else None,
        name=person.name if person else None,
        closed_at=case.closed_at,
        outcome=case.outcome,
        owner=case.owner,
    )
