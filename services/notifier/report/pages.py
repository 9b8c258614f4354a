"""The pages of the report: the figures, and the list of customers to inform about a root cause."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.notifier.cases.domain.case import Entry, Priority
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.store import answers, writing
from services.notifier.cases.store import writing as trail
from services.notifier.cases.store.writing import Added
from services.notifier.cases.wording import MemberNames
from services.notifier.deliveries import notices
from services.notifier.deliveries import store as deliveries
from services.notifier.deliveries.settings import StoreChannels
from services.notifier.report import store as told
from services.notifier.report import wording
from services.notifier.report.csv import csv_headers, csv_of, download
from services.notifier.report.figures import Report, build
from services.notifier.report.query import PATH, Asked, NotAPeriod, asked_of, query_of
from services.notifier.report.store import ToTell
from services.notifier.report.views import cause_rows, channel_rows, histogram, outcome_rows, periods
from shared.access.roles import reaches
from shared.config.stores import Store
from shared.db import Database, Session
from shared.events.envelope import new_traceparent
from shared.http import Problem
from shared.pages.forms import Form, form_of
from shared.pages.notices import Notice
from shared.pages.pages import Pages
from shared.pages.people import At, member
from shared.pages.wording import full_date, full_moment

FOLDER = Path(__file__).parent
"""The folder of templates and static files, for `Pages`."""

_REPLAYED_AT_ONCE = 1000
_SHOWN = 200
_EXPORTED = 10_000

Anybody = Annotated[At, Depends(member())]
Sent = Annotated[Form, Depends(form_of)]
Manager = Annotated[At, Depends(member("manager"))]


class ReportDesk:
    """What both report pages stand on."""

    def __init__(self, database: Database, pages: Pages) -> None:
        self.database = database
        self.pages = pages

    def store(self, at: At) -> Store:
        return self.pages.stores[at.store]

    def asked(self, request: Request, at: At) -> tuple[Asked, str]:
        """The report that the address names. One that names none: the usual report, and what is wrong."""
        now = datetime.now(UTC)
        try:
            return asked_of(request.query_params, at.store, self.store(at), now), ""
        except NotAPeriod as wrong:
            return asked_of({}, at.store, self.store(at), now), str(wrong)

    async def report(self, asked: Asked, at: At) -> Report:
        """An agent sees the own figures among the owners', a manager those of all."""
        async with self.database.snapshot() as session:
            report = await build(session, asked, self.store(at))
        if reaches(at.role, "manager"):
            return report
        own = (None, at.person.email)
        return replace(report, owners=tuple(one for one in report.owners if one.load.owner in own))


def report_routes(
    database: Database,
    pages: Pages,
    *,
    policies: Mapping[str, Policy],
    channels: StoreChannels,
    ring: Callable[[], None],
) -> APIRouter:
    """`/inbox/report`. Included before the pages of single cases."""
    router = APIRouter(include_in_schema=False)
    desk = ReportDesk(database, pages)

    @router.get(PATH)
    async def read(request: Request, at: Anybody) -> Response:
        asked, wrong = desk.asked(request, at)
        report = await desk.report(asked, at)
        store, policy, known = desk.store(at), policies[at.store], channels[at.store]
        async with database.snapshot() as session:
            doing = await deliveries.doing(session, at.store, list(known))
        return pages.html(
            request,
            "report.html",
            report=report,
            wrong=wrong,
            words=wording,
            periods=periods(asked, store.zone),
            period_name=wording.period_name(asked.period, store.zone),
            before_name=wording.before_name(asked.period, store.zone),
            read_at=full_moment(asked.now, store.zone),
            query=query_of(asked),
            teams=sorted({*policy.teams, *([asked.team] if asked.team and asked.team != "none" else [])}),
            priorities=[priority.value for priority in Priority],
            chart=histogram(report.contacts.bars, policy.rules),
            causes=cause_rows(report),
            outcomes=outcome_rows(report),
            channels=channel_rows(report.channels, known, doing, store.zone),
            names=MemberNames(pages.people.roster.members(at.store)),
            manager=reaches(at.role, "manager"),
        )

    @router.get(f"{PATH}.csv")
    async def read_csv(request: Request, at: Anybody) -> Response:
        asked, wrong = desk.asked(request, at)
        if wrong:
            raise Problem(422, "invalid", wrong)
        text, headers = download(await desk.report(asked, at))
        return Response(text, headers=headers)

    @router.post(f"{PATH}/test")
    async def send_test(request: Request, at: Manager, form: Sent) -> Response:
        """A test through one channel."""
        name = form.text("channel", longest=64)
        channel = channels[at.store].get(name)
        if channel is None or not channel.on:
            raise Problem(409, "channel-off", "The channel is off, or there is no such channel.")
        new = notices.trial(at.store, name, f"user:{at.person.email}")
        async with database.transaction() as session:
            await notices.add(session, new, [name], traceparent=new_traceparent())
        ring()
        text = f"A test is on its way through {name}. How it went is shown here in a moment."
        return pages.go(request, _back(form, at), Notice("ok", text))

    @router.post(f"{PATH}/replay")
    async def replay(request: Request, at: Manager, form: Sent) -> Response:
        """The dead deliveries of one channel, each under its own id."""
        name = form.text("channel", longest=64)
        now = datetime.now(UTC)
        async with database.transaction() as session:
            dead = await deliveries.replay_dead(session, at.store, name, most=_REPLAYED_AT_ONCE)
            rows = [
                trail.HistoryRow(
                    one.case_id,
                    now,
                    f"user:{at.person.email}",
                    Entry("delivery_replayed", {"delivery_id": one.delivery_id, "channel": name}),
                )
                for one in dead
                if one.case_id
            ]
            await writing.add(session, Added(history=rows))
        ring()
        text = (
            f"{len(dead):,} alerts of {name} are sent again."
            if dead
            else f"Nothing of {name} was left to send."
        )
        return pages.go(request, _back(form, at), Notice("ok", text))

    return router


def _back(form: Form, at: At) -> str:
    """The report from which the form was sent; only ever a report of ours."""
    query = form.text("query", longest=400)
    return f"{PATH}?{query}" if query.isprintable() and query else f"{PATH}?store={at.store}"


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
        start, end = full_date(asked.period.start, store.zone), full_moment(asked.period.end, store.zone)
        return pages.html(
            request,
            "tell.html",
            cause=cause,
            people=people,
            waiting=waiting,
            fields_given=fields,
            csv=f"{PATH}/tell.csv?{urlencode(fields)}",
            between=f"{start} and {end}",
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
