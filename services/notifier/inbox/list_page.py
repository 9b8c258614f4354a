"""The page of the list of cases, with its views, their counts, and the views that people saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response

from services.notifier.cases import casework
from services.notifier.cases.domain.case import Priority
from services.notifier.cases.store import search
from services.notifier.cases.wording import MemberNames
from services.notifier.deliveries import holds
from services.notifier.inbox import store
from services.notifier.inbox.list_view import Row
from services.notifier.inbox.search import (
    EVERY,
    FIELDS,
    NOBODY,
    PAGE,
    VIEWS,
    ListQuery,
    place_text,
    query_of_address,
)
from services.notifier.inbox.site import COUNTED, AtStore, FormOf, InboxSite, shown_count
from services.notifier.inbox.store import SavedView
from shared.db import Session
from shared.events import new_id
from shared.http import Problem
from shared.http.parameters import page_parameters
from shared.pages.notices import FlashMessage, UndoButton
from shared.pages.people import PersonAtStore

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class ViewShown:
    """A view as a link of the side bar. `saved`: the id by which the person can remove it."""

    name: str
    href: str
    count: str
    current: bool
    alert: bool = False
    saved: str = ""


@dataclass(frozen=True, slots=True)
class _ListContents:
    """What a page of the list shows, as it was read at one moment."""

    rows: Sequence[Row]
    views: Sequence[ViewShown]
    saved: Sequence[ViewShown]
    next: str
    as_of: datetime
    ended: tuple[str, datetime] | None
    held_since: datetime | None
    """Since when alerts are held back; None while they are sent."""


def routes(site: InboxSite) -> APIRouter:
    """The list, and saving and removing views."""
    router = APIRouter(include_in_schema=False)
    page = _ListPage(site)

    @router.get("/inbox", dependencies=[Depends(page_parameters(*FIELDS))])
    async def show(request: Request, at: AtStore) -> Response:
        return await page.show(request, at)

    @router.post("/inbox/views")
    async def save(request: Request, at: AtStore, form: FormOf) -> Response:
        name = form.text("name", longest=_LONGEST_NAME, needed="Give the view a name.")
        query = query_of_address(request.query_params)
        back = f"/inbox?{site.query_string(at, query)}"
        if form.errors:
            return await page.show(request, at, status=422, errors=form.errors, view_name=name)
        view = SavedView(new_id(), name, query.query_string())
        async with site.database.transaction() as session:
            saved = await store.save_view(session, at.store, at.person.email, view)
        if not saved:
            return site.pages.go(
                request, back, FlashMessage("warn", f"You have {store.MOST_VIEWS} views; remove one first.")
            )
        return site.pages.go(request, back, FlashMessage("ok", f"Saved as {name}."))

    @router.post("/inbox/views/{view_id}/remove")
    async def remove(request: Request, at: AtStore, form: FormOf, view_id: str) -> Response:
        async with site.database.transaction() as session:
            views = await store.saved_views(session, at.store, at.person.email)
            removed = next((view for view in views if view.view_id == view_id), None)
            if removed is None or not await store.remove_view(session, at.store, at.person.email, view_id):
                raise Problem(404, "not-found", "There is no such view of yours.")
        query = query_of_address(dict(parse_qsl(removed.query)))
        undo = UndoButton(f"/inbox/views?{site.query_string(at, query)}", {"name": removed.name})
        back = f"/inbox?{site.query_string(at, ListQuery())}"
        return site.pages.go(
            request, back, FlashMessage("ok", f"Removed the view {removed.name}.", undo=undo)
        )

    return router


class _ListPage:
    def __init__(self, site: InboxSite) -> None:
        self._site = site

    async def show(
        self,
        request: Request,
        at: PersonAtStore,
        *,
        status: int = 200,
        errors: dict[str, str] | None = None,
        view_name: str = "",
    ) -> Response:
        site, query = self._site, query_of_address(request.query_params)
        async with site.database.snapshot() as session:
            await store.plan_each_query(session)
            contents = await self._read(session, at, query)
        names = site.names(at.store)
        return site.pages.html(
            request,
            "inbox.html",
            status,
            query=query,
            contents=contents,
            query_string=site.query_string(at, query),
            everywhere_query_string=site.query_string(at, ListQuery(view=EVERY, q=query.q))
            if query.q
            else "",
            open_query_string=site.query_string(at, ListQuery()),
            report_query_string=f"?store={at.store}" if len(at.person.stores) > 1 else "",
            priorities=[("", "Any priority"), *((p.value, p.capitalize()) for p in Priority)],
            owners=_owners(names, query),
            teams=_teams(site, at, query),
            assignees=site.assignees(at.store),
            may_dismiss=at.role != "agent",
            ended_by=names.actor(contents.ended[0]) if contents.ended else "",
            zone=site.zone(at.store).key,
            errors=errors or {},
            view_name=view_name,
        )

    async def _read(self, session: Session, at: PersonAtStore, query: ListQuery) -> _ListContents:
        site = self._site
        case_filter = site.filter(at, query)
        selected = await search.page(session, at.store, case_filter, after=query.after, limit=PAGE + 1)
        shown, more = selected[:PAGE], len(selected) > PAGE
        lines = await casework.case_lines(session, [case for case, _ in shown])
        row_builder = site.row_builder(at.store)
        rows = [
            row_builder.row(
                line,
                f"/inbox/{case.case_id}?{site.query_string(at, query, at=place_text(place))}",
            )
            for line, (case, place) in zip(lines, shown, strict=True)
        ]
        next_page = ""
        if more:
            after = {"after": place_text(shown[-1][1]), "first": str(query.first + PAGE)}
            next_page = f"/inbox?{site.query_string(at, query, **after)}"
        fixed, saved = await self._views(session, at, query)
        ended = await store.last_ending(session, at.store) if not rows else None
        held_since = min((hold.since for hold in await holds.holds(session)), default=None)
        return _ListContents(
            rows, fixed, saved, next_page, await store.database_clock(session), ended, held_since
        )

    async def _views(
        self, session: Session, at: PersonAtStore, query: ListQuery
    ) -> tuple[list[ViewShown], list[ViewShown]]:
        site = self._site
        counts = await store.count_each(
            session, at.store, [site.filter(at, ListQuery(view=key)) for key in VIEWS], most=COUNTED
        )
        fixed = [
            ViewShown(
                name,
                f"/inbox?{site.query_string(at, ListQuery(view=key))}",
                shown_count(count),
                query == ListQuery(view=key, after=query.after, first=query.first),
                alert=key == "overdue" and count > 0,
            )
            for (key, name), count in zip(VIEWS.items(), counts, strict=True)
        ]
        site.set_overdue(at.store, counts[list(VIEWS).index("overdue")])
        own_views = await store.saved_views(session, at.store, at.person.email)
        queries = [query_of_address(dict(parse_qsl(view.query))) for view in own_views]
        # A view with words is not counted: counting what a frequent word finds takes as long as finding it.
        counted = [saved_query for saved_query in queries if not saved_query.q]
        counts_of_saved = dict(
            zip(
                counted,
                await store.count_each(
                    session, at.store, [site.filter(at, saved_query) for saved_query in counted], most=COUNTED
                ),
                strict=True,
            )
        )
        saved = [
            ViewShown(
                view.name,
                f"/inbox?{site.query_string(at, saved_query)}",
                shown_count(counts_of_saved[saved_query]) if saved_query in counts_of_saved else "",
                saved_query.query_string() == query.query_string(),
                saved=view.view_id,
            )
            for view, saved_query in zip(own_views, queries, strict=True)
        ]
        return fixed, saved


def _owners(names: MemberNames, query: ListQuery) -> list[tuple[str, str]]:
    owners = [(member.email, member.name) for member in names.members]
    if query.owner not in ("", NOBODY, *(email for email, _ in owners)):
        owners.append((query.owner, query.owner))
    return [("", "Any owner"), (NOBODY, "Nobody"), *owners]


def _teams(site: InboxSite, at: PersonAtStore, query: ListQuery) -> list[tuple[str, str]]:
    teams = list(site.policy(at.store).teams)
    if query.team and query.team not in teams:
        teams.append(query.team)
    return [("", "Any team"), *((name, team_name(name)) for name in teams)] if teams else []


def team_name(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()
