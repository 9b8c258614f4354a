"""The report page: how it goes, who carries what, what comes back, and whom to tell."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.notifier.cases.domain.case import Entry
from services.notifier.cases.domain.rules import Priority
from services.notifier.cases.store import writing
from services.notifier.cases.store.writing import Added
from services.notifier.deliveries import notices
from services.notifier.deliveries import store as deliveries
from services.notifier.report import Asked, Report, build, download, wording
from services.notifier.report.asking import NotAPeriod, asked_of
from services.notifier.settings import Alerts
from services.notifier.store import channels, trail
from services.notifier.web.charts import histogram
from services.notifier.web.names import Names
from services.notifier.web.report_view import (
    PATH,
    cause_rows,
    channel_rows,
    outcome_rows,
    periods,
    query_of,
)
from shared.access.roles import reaches
from shared.config.stores import Store
from shared.db import Database
from shared.events.envelope import new_traceparent
from shared.http import Problem
from shared.pages.forms import Form, form_of
from shared.pages.notices import Notice
from shared.pages.pages import Pages
from shared.pages.people import At, member

_REPLAYED_AT_ONCE = 1000

Anybody = Annotated[At, Depends(member())]
Manager = Annotated[At, Depends(member("manager"))]
Sent = Annotated[Form, Depends(form_of)]


class ReportDesk:
    """What both report pages stand on."""

    def __init__(self, database: Database, pages: Pages, alerts: Mapping[str, Alerts]) -> None:
        self.database = database
        self.pages = pages
        self.alerts = alerts

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
    database: Database, pages: Pages, alerts: Mapping[str, Alerts], ring: Callable[[], None]
) -> APIRouter:
    """`/inbox/report`. Included before the pages of single cases."""
    router = APIRouter(include_in_schema=False)
    desk = ReportDesk(database, pages, alerts)

    @router.get(PATH)
    async def read(request: Request, at: Anybody) -> Response:
        asked, wrong = desk.asked(request, at)
        report = await desk.report(asked, at)
        store, section = desk.store(at), alerts[at.store]
        async with database.snapshot() as session:
            doing = await channels.doing(session, at.store, list(section.channels))
        return pages.html(
            request,
            "report.html",
            report=report,
            wrong=wrong,
            words=wording,
            periods=periods(asked, store.zone),
            period_name=wording.period_name(asked.period, store.zone),
            before_name=wording.before_name(asked.period, store.zone),
            read_at=wording.minute(asked.now, store.zone),
            query=query_of(asked),
            teams=sorted({*section.teams, *([asked.team] if asked.team and asked.team != "none" else [])}),
            priorities=[priority.value for priority in Priority],
            chart=histogram(report.contacts.bars, section),
            causes=cause_rows(report),
            outcomes=outcome_rows(report),
            channels=channel_rows(report.channels, section.channels, doing, store.zone),
            names=Names(pages.people.roster.members(at.store)),
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
        channel = alerts[at.store].channels.get(name)
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
