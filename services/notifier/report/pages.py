"""The pages of the report: the figures, and the list of customers to inform about a root cause."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.recording import record_replays
from services.notifier.cases.store import answers
from services.notifier.cases.wording import MemberNames
from services.notifier.deliveries import notices
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.settings import StoreChannels
from services.notifier.report import store, wording
from services.notifier.report.csv import csv_headers, csv_of, download
from services.notifier.report.figures import Report, build_report
from services.notifier.report.query import (
    PATH,
    InvalidQuery,
    ReportQuery,
    fixed_fields,
    query_of_address,
    query_string,
)
from services.notifier.report.store import CustomerToInform
from services.notifier.report.views import cause_rows, channel_rows, histogram, outcome_rows, periods
from shared.access.roles import reaches
from shared.config.stores import Store
from shared.db import Database, Session
from shared.events.envelope import new_traceparent
from shared.http import Problem
from shared.http.parameters import page_parameters
from shared.pages.forms import Form, form_of
from shared.pages.notices import FlashMessage
from shared.pages.pages import Pages
from shared.pages.people import PersonAtStore, member
from shared.pages.wording import full_date, full_moment

FOLDER: Final = Path(__file__).parent
"""The folder of templates and static files, for `Pages`."""

_FIELDS = ("store", "period", "from", "to", "team", "priority")
_OF_REPORTS: Any = Depends(page_parameters(*_FIELDS))
_OF_CAUSES: Any = Depends(page_parameters("cause", *_FIELDS))

_MOST_REPLAYED = 1000
_MOST_SHOWN = 200
_MOST_EXPORTED = 10_000

Member = Annotated[PersonAtStore, Depends(member())]
Manager = Annotated[PersonAtStore, Depends(member("manager"))]
FormOf = Annotated[Form, Depends(form_of)]


class _ReportReader:
    """Reads the report that an address names, as far as the role of the person allows."""

    def __init__(self, database: Database, pages: Pages) -> None:
        self._database = database
        self._pages = pages

    def query(self, request: Request, at: PersonAtStore) -> tuple[ReportQuery, str]:
        """The report that is asked for, and "". For an address that names none: the usual report, and why."""
        store_config, now = self._pages.stores[at.store], datetime.now(UTC)
        try:
            return query_of_address(request.query_params, at.store, store_config, now), ""
        except InvalidQuery as invalid:
            return query_of_address({}, at.store, store_config, now), str(invalid)

    async def report(self, query: ReportQuery, at: PersonAtStore) -> Report:
        """A manager sees the figures of every owner; an agent sees the own ones, and those of nobody."""
        async with self._database.snapshot() as session:
            report = await build_report(session, query, self._pages.stores[at.store])
        if reaches(at.role, "manager"):
            return report
        visible = (None, at.person.email)
        return replace(report, owners=tuple(row for row in report.owners if row.load.owner in visible))


def report_routes(
    database: Database,
    pages: Pages,
    *,
    policies: Mapping[str, Policy],
    channels: StoreChannels,
    ring: Callable[[], None],
) -> APIRouter:
    """`/inbox/report`. Included before the pages of single cases: `report` is no case's id."""
    router = APIRouter(include_in_schema=False)
    reader = _ReportReader(database, pages)

    @router.get(PATH, dependencies=[_OF_REPORTS])
    async def show(request: Request, at: Member) -> Response:
        query, invalid = reader.query(request, at)
        report = await reader.report(query, at)
        store_config, store_channels = pages.stores[at.store], channels[at.store]
        policy = policies[at.store]
        async with database.snapshot() as session:
            health = await deliveries.channel_health(session, at.store, list(store_channels))
        chosen_team = {query.team} if query.team and query.team != store.NO_TEAM else set()
        return pages.html(
            request,
            "report.html",
            report=report,
            invalid=invalid,
            wording=wording,
            periods=periods(query, store_config.zone),
            period_name=wording.period_name(query.period, store_config.zone),
            before_name=wording.before_name(query.period, store_config.zone),
            read_at=full_moment(query.now, store_config.zone),
            query_string=query_string(query),
            teams=sorted({*policy.teams, *chosen_team}),
            priorities=[priority.value for priority in Priority],
            chart=histogram(report.contacts.bars, policy.rules),
            causes=cause_rows(report),
            outcomes=outcome_rows(report),
            channels=channel_rows(report.channels, store_channels, health, store_config.zone),
            names=MemberNames(pages.visitors.roster.members(at.store)),
            manager=reaches(at.role, "manager"),
        )

    @router.get(f"{PATH}.csv", dependencies=[_OF_REPORTS])
    async def export(request: Request, at: Member) -> Response:
        query, invalid = reader.query(request, at)
        if invalid:
            raise Problem(422, "invalid", invalid)
        text, headers = download(await reader.report(query, at))
        return Response(text, headers=headers)

    @router.post(f"{PATH}/test")
    async def send_test(request: Request, at: Manager, form: FormOf) -> Response:
        """Send a test notice through one channel."""
        name = form.text("channel", longest=64)
        channel = channels[at.store].get(name)
        if channel is None or not channel.on:
            raise Problem(409, "channel-off", "The channel is off, or there is no such channel.")
        notice = notices.trial(at.store, name, f"user:{at.person.email}")
        async with database.transaction() as session:
            await notices.add(session, notice, [name], traceparent=new_traceparent())
        ring()
        text = f"A test is on its way through {name}. How it went is shown here in a moment."
        return pages.go(request, _report_of_form(form, at), FlashMessage("ok", text))

    @router.post(f"{PATH}/replay")
    async def replay(request: Request, at: Manager, form: FormOf) -> Response:
        """Send the dead deliveries of one channel again, each under its own id."""
        channel = form.text("channel", longest=64)
        async with database.transaction() as session:
            dead = await deliveries.replay_dead(session, at.store, channel, most=_MOST_REPLAYED)
            await record_replays(session, dead, f"user:{at.person.email}", at=datetime.now(UTC))
        ring()
        text = (
            f"{len(dead):,} alerts of {channel} are sent again."
            if dead
            else f"Nothing of {channel} was left to send."
        )
        return pages.go(request, _report_of_form(form, at), FlashMessage("ok", text))

    return router


def _report_of_form(form: Form, at: PersonAtStore) -> str:
    """The address of the report from which a form was sent; never an address outside of the report."""
    query = form.text("query", longest=400)
    return f"{PATH}?{query}" if query.isprintable() and query else f"{PATH}?store={at.store}"


def customers_to_inform_routes(database: Database, pages: Pages) -> APIRouter:
    """`/inbox/report/tell`: the customers of a root cause to inform, their CSV, and marking them informed."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"{PATH}/tell", dependencies=[_OF_CAUSES])
    async def show(request: Request, at: Member) -> Response:
        zone = pages.stores[at.store].zone
        cause, query = _cause_and_query(request.query_params, at, pages.stores[at.store])
        start, end = query.period.start, query.period.end
        async with database.snapshot() as session:
            customers = await _customers(session, query, cause, _MOST_SHOWN)
            counts = await store.count_customers_to_inform(session, query.scope, start, end)
        fields = fixed_fields(query, cause)
        return pages.html(
            request,
            "tell.html",
            cause=cause,
            customers=customers,
            count=counts.get(cause, 0),
            query_fields=fields,
            csv=f"{PATH}/tell.csv?{urlencode(fields)}",
            between=f"{full_date(start, zone)} and {full_moment(end, zone)}",
        )

    @router.get(f"{PATH}/tell.csv", dependencies=[_OF_CAUSES])
    async def export(request: Request, at: Member) -> Response:
        zone = pages.stores[at.store].zone
        cause, query = _cause_and_query(request.query_params, at, pages.stores[at.store])
        async with database.snapshot() as session:
            customers = await _customers(session, query, cause, _MOST_EXPORTED)
        header = ("case", "customer_id", "email", "name", "closed", "outcome")
        rows = [
            (
                case.number,
                person.id if person else None,
                person.email if person else None,
                person.name if person else None,
                case.closed_at.astimezone(zone).isoformat(timespec="seconds"),
                case.outcome,
            )
            for case, person in customers
        ]
        return Response(csv_of([header, *rows]), headers=csv_headers(f"tell-{at.store}"))

    @router.post(f"{PATH}/tell")
    async def mark_customers_informed(request: Request, at: Member, form: FormOf) -> Response:
        """Mark just those that were on the list; a case that was closed later is on the next list."""
        names = ("store", "cause", "from", "to", "team", "priority")
        fields = {name: form.text(name, longest=200) for name in names}
        cause, query = _cause_and_query(fields, at, pages.stores[at.store])
        async with database.transaction() as session:
            count = await store.mark_customers_informed(
                session,
                query.scope,
                cause,
                query.period.start,
                query.period.end,
                who=f"user:{at.person.email}",
                now=datetime.now(UTC),
            )
        text = f"{count:,} cases of “{cause}” are marked: their customers were told what changed."
        return pages.go(request, f"{PATH}?store={at.store}", FlashMessage("ok", text))

    return router


def _cause_and_query(
    fields: Mapping[str, str], at: PersonAtStore, store_config: Store
) -> tuple[str, ReportQuery]:
    """The root cause and the report that an address or a form names. Raises Problem 422."""
    cause = fields.get("cause", "")
    if not 1 <= len(cause) <= 128 or "\0" in cause:
        raise Problem(422, "invalid", "Say which root cause.")
    try:
        return cause, query_of_address(fields, at.store, store_config, datetime.now(UTC))
    except InvalidQuery as invalid:
        raise Problem(422, "invalid", str(invalid)) from None


async def _customers(
    session: Session, query: ReportQuery, cause: str, limit: int
) -> list[tuple[CustomerToInform, Any]]:
    """Each case to inform about, with the person that its answer names; None where the answer is gone."""
    start, end = query.period.start, query.period.end
    cases = await store.customers_to_inform(session, query.scope, cause, start, end, limit=limit)
    stored_answers = await answers.read(session, {(query.store, case.response_id) for case in cases})
    people = {response_id: answer.body.person for (_, response_id), answer in stored_answers.items()}
    return [(case, people.get(case.response_id)) for case in cases]
