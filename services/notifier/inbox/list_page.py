"""The list of cases: a page of it, its views with their counts, and what to do with several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response

from services.notifier.cases import casework
from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.rules import AssignMode
from services.notifier.cases.store import search
from services.notifier.cases.wording import MemberNames
from services.notifier.deliveries import holds
from services.notifier.inbox import store
from services.notifier.inbox import store as views
from services.notifier.inbox.list_view import Row
from services.notifier.inbox.search import EVERY, NOBODY, PAGE, VIEWS, Asked, asked_of, place_text
from services.notifier.inbox.site import COUNTED, AtStore, FormOf, Office, shown_count
from services.notifier.inbox.store import SavedView
from shared.db import Session
from shared.events import new_id
from shared.http import Problem
from shared.pages.notices import Notice, Undo
from shared.pages.people import At

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class ViewShown:
    """A link of the side bar. `saved`: the id by which it can be removed."""

    name: str
    href: str
    count: str
    current: bool
    alert: bool = False
    saved: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """All that a page of the list was read for."""

    rows: Sequence[Row]
    views: Sequence[ViewShown]
    saved: Sequence[ViewShown]
    next: str
    as_of: datetime
    ended: tuple[str, datetime] | None
    held_since: datetime | None
    """Since when no alert is sent; None while they are."""


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    desk = _List(office)

    @router.get("/inbox")
    async def show(request: Request, at: AtStore) -> Response:
        return await desk.page(request, at)

    @router.post("/inbox/views")
    async def save(request: Request, at: AtStore, form: FormOf) -> Response:
        name = form.text("name", longest=_LONGEST_NAME, needed="Give the view a name.")
        asked = asked_of(request.query_params)
        back = f"/inbox?{office.query(at, asked)}"
        if form.errors:
            return await desk.page(request, at, status=422, errors=form.errors, typed=name)
        view = SavedView(new_id(), name, asked.query())
        async with office.database.transaction() as session:
            kept = await views.save(session, at.store, at.person.email, view)
        if not kept:
            return office.pages.go(
                request, back, Notice("warn", f"You have {views.MOST} views; remove one first.")
            )
        return office.pages.go(request, back, Notice("ok", f"Saved as {name}."))

    @router.post("/inbox/views/{view_id}/remove")
    async def remove(request: Request, at: AtStore, form: FormOf, view_id: str) -> Response:
        async with office.database.transaction() as session:
            mine = await views.of_person(session, at.store, at.person.email)
            gone = next((view for view in mine if view.view_id == view_id), None)
            if gone is None or not await views.remove(session, at.store, at.person.email, view_id):
                raise Problem(404, "not-found", "There is no such view of yours.")
        asked = asked_of(dict(parse_qsl(gone.query)))
        undo = Undo(f"/inbox/views?{office.query(at, asked)}", {"name": gone.name})
        back = f"/inbox?{office.query(at, Asked())}"
        return office.pages.go(request, back, Notice("ok", f"Removed the view {gone.name}.", undo=undo))

    return router


class _List:
    def __init__(self, office: Office) -> None:
        self._office = office

    async def page(
        self,
        request: Request,
        at: At,
        *,
        status: int = 200,
        errors: dict[str, str] | None = None,
        typed: str = "",
    ) -> Response:
        office, asked = self._office, asked_of(request.query_params)
        async with office.database.snapshot() as session:
            await store.plan_each(session)
            found = await self._find(session, at, asked)
        names = office.names(at.store)
        return office.pages.html(
            request,
            "inbox.html",
            status,
            asked=asked,
            found=found,
            query=office.query(at, asked),
            everywhere=office.query(at, Asked(view=EVERY, q=asked.q)) if asked.q else "",
            open_query=office.query(at, Asked()),
            snoozed_query=office.query(at, Asked(view="snoozed")),
            report_query=f"?store={at.store}" if len(at.person.stores) > 1 else "",
            priorities=[("", "Any priority"), *((p.value, p.capitalize()) for p in Priority)],
            owners=_owners(names, asked),
            teams=_teams(office, at, asked),
            assignees=[
                *((m.email, m.name) for m in names.members),
                (AssignMode.LEAST_LOADED.value, "Least loaded"),
            ],
            may_dismiss=at.role != "agent",
            ended_by=names.actor(found.ended[0]) if found.ended else "",
            zone=office.zone(at.store).key,
            errors=errors or {},
            typed=typed,
        )

    async def _find(self, session: Session, at: At, asked: Asked) -> _Found:
        office = self._office
        wanted = office.filter(at, asked)
        found = await search.page(session, at.store, wanted, after=asked.after, limit=PAGE + 1)
        shown, more = found[:PAGE], len(found) > PAGE
        lines = await casework.lines(session, [case for case, _ in shown])
        shelf = office.shelf(at.store)
        rows = [
            shelf.row(
                line,
                f"/inbox/{case.case_id}?{office.query(at, asked, at=place_text(place))}",
            )
            for line, (case, place) in zip(lines, shown, strict=True)
        ]
        following = ""
        if more:
            after = {"after": place_text(shown[-1][1]), "first": str(asked.first + PAGE)}
            following = f"/inbox?{office.query(at, asked, **after)}"
        fixed, saved = await self._views(session, at, asked)
        ended = await store.last_end(session, at.store) if not rows else None
        held = min((one.since for one in await holds.holds(session)), default=None)
        return _Found(rows, fixed, saved, following, await store.clock(session), ended, held)

    async def _views(self, session: Session, at: At, asked: Asked) -> tuple[list[ViewShown], list[ViewShown]]:
        office = self._office
        counts = await store.counts(
            session, at.store, [office.filter(at, Asked(view=key)) for key in VIEWS], most=COUNTED
        )
        fixed = [
            ViewShown(
                name,
                f"/inbox?{office.query(at, Asked(view=key))}",
                shown_count(count),
                asked == Asked(view=key, after=asked.after, first=asked.first),
                alert=key == "overdue" and count > 0,
            )
            for (key, name), count in zip(VIEWS.items(), counts, strict=True)
        ]
        office.see_overdue(at.store, counts[list(VIEWS).index("overdue")])
        own = await views.of_person(session, at.store, at.person.email)
        kept = [asked_of(dict(parse_qsl(view.query))) for view in own]
        # Counting what a frequent word finds would take as long as finding it.
        counted = [each for each in kept if not each.q]
        numbers = dict(
            zip(
                counted,
                await store.counts(
                    session, at.store, [office.filter(at, each) for each in counted], most=COUNTED
                ),
                strict=True,
            )
        )
        saved = [
            ViewShown(
                view.name,
                f"/inbox?{office.query(at, each)}",
                shown_count(numbers[each]) if each in numbers else "",
                each.query() == asked.query(),
                saved=view.view_id,
            )
            for view, each in zip(own, kept, strict=True)
        ]
        return fixed, saved


def _owners(names: MemberNames, asked: Asked) -> list[tuple[str, str]]:
    known = [(member.email, member.name) for member in names.members]
    if asked.owner not in ("", NOBODY, *(email for email, _ in known)):
        known.append((asked.owner, asked.owner))
    return [("", "Any owner"), (NOBODY, "Nobody"), *known]


def _teams(office: Office, at: At, asked: Asked) -> list[tuple[str, str]]:
    known = list(office.policy(at.store).teams)
    if asked.team and asked.team not in known:
        known.append(asked.team)
    return [("", "Any team"), *((name, team_name(name)) for name in known)] if known else []


def team_name(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()
