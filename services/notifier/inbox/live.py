"""Changes of cases sent to open pages: one query a second for a store, however many pages listen to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from services.notifier.inbox.clocks import list_clock
from services.notifier.inbox.list_view import owner_of, status_of
from services.notifier.inbox.site import AtStore, InboxSite
from services.notifier.inbox.store import Changed, changed_since, database_clock
from shared.feedback.moments import InvalidMoment, parse_moment_of_query
from shared.http import Problem
from shared.ops.logs import log
from shared.pages.people import PersonAtStore

_log = log("notifier")

EVERY_SECONDS = 1.0
BEAT_SECONDS = 5.0
MOST_LISTENERS = 200
"""Open pages of a process; each holds one of its `requests_in_flight`."""
MOST_OF_ONE = 20
"""Of these the pages of one person, so that nobody takes them all."""

_OVERLAP = timedelta(seconds=10)
"""A transaction commits after it sets `changed_at`: so long after it, at most, the change is still read."""

_MOST = 500
_OLDEST = timedelta(minutes=10)

Read = Callable[[str, datetime], Awaitable[list[Changed]]]


@dataclass(eq=False)
class Listener:
    """An open page. `queue` holds the changes to send; None means that it missed too many to send each."""

    store: str
    user_id: int
    queue: asyncio.Queue[Changed | None] = field(default_factory=lambda: asyncio.Queue(_MOST))


class Live:
    """Reads the changes of each store that has open pages, and passes them to all of these."""

    def __init__(self, site: InboxSite) -> None:
        self._site = site
        self._listeners: dict[str, set[Listener]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    def check_room(self, user_id: int) -> None:
        """Raises Problem 503 when too many pages listen, 429 when too many of this person do."""
        everybody = [listener.user_id for listeners in self._listeners.values() for listener in listeners]
        if everybody.count(user_id) >= MOST_OF_ONE:
            detail = "Too many of your pages are live. Close some."
            raise Problem(429, "too-many-pages", detail, headers={"Retry-After": "30"})
        if len(everybody) >= MOST_LISTENERS:
            raise Problem(503, "busy", "Too many pages are live right now.", headers={"Retry-After": "30"})

    def listen(self, store: str, user_id: int) -> Listener:
        """Start to pass the changes of a store to a page of somebody."""
        listener = Listener(store, user_id)
        self._listeners.setdefault(store, set()).add(listener)
        if store not in self._readers:
            self._readers[store] = asyncio.create_task(self._read(store), name=f"live-{store}")
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop to pass changes to a page; nobody reads a store without open pages."""
        others = self._listeners.get(listener.store, set())
        others.discard(listener)
        if not others:
            self._listeners.pop(listener.store, None)
            if reader := self._readers.pop(listener.store, None):
                reader.cancel()

    async def changed(self, store: str, since: datetime) -> list[Changed]:
        """The cases that changed after a moment, at most _MOST."""
        async with self._site.database.transaction() as session:
            return await changed_since(session, store, since, limit=_MOST)

    async def _read(self, store: str) -> None:
        seen: dict[tuple[str, int], datetime] = {}
        since: datetime | None = None
        while True:
            try:
                if since is None:
                    async with self._site.database.transaction() as session:
                        since = await database_clock(session) - _OVERLAP
                changes = await self.changed(store, since)
            except Exception as error:  # PostgreSQL is away: the next turn tries again
                _log.warning("live.not_read", store=store, exc_info=error)
                await asyncio.sleep(EVERY_SECONDS)
                continue
            for change in changes:
                key = (change.case.case_id, change.case.version)
                if key not in seen:
                    self._pass_on(store, change)
                seen[key] = change.case.changed_at or since
            if changes and changes[-1].case.changed_at:
                # A full page: all that is older than its end was passed on, so reading can go forward.
                newest = changes[-1].case.changed_at
                since = newest if len(changes) == _MOST else max(since, newest - _OVERLAP)
                seen = {key: at for key, at in seen.items() if at >= since}
            await asyncio.sleep(EVERY_SECONDS)

    def _pass_on(self, store: str, change: Changed) -> None:
        for listener in self._listeners.get(store, ()):
            if listener.queue.full():
                while not listener.queue.empty():
                    listener.queue.get_nowait()
                listener.queue.put_nowait(None)
            else:
                listener.queue.put_nowait(change)


def routes(site: InboxSite) -> APIRouter:
    """The stream of changes (server-sent events)."""
    router = APIRouter(include_in_schema=False)
    live = Live(site)

    @router.get("/inbox/live")
    async def stream(request: Request, at: AtStore) -> Response:
        """`since` (or Last-Event-ID): the moment from which changes are wanted."""
        live.check_room(at.person.user_id)
        request.scope["closeloop.endless"] = True
        return StreamingResponse(
            _events(request, site, live, at),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def _events(request: Request, site: InboxSite, live: Live, at: PersonAtStore) -> AsyncIterator[bytes]:
    store = at.store
    listener = live.listen(store, at.person.user_id)
    try:
        yield b"retry: 2000\n\n"
        for change in await _missed(request, live, store):
            yield _event(site, store, change)
        yield b"event: beat\ndata: {}\n\n"
        while _still_member(request, site, store):
            change = None
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    change = await listener.queue.get()
                    if change is None:
                        yield b"event: stale\ndata: {}\n\n"
                        continue
            yield _event(site, store, change) if change else b"event: beat\ndata: {}\n\n"
    finally:
        live.leave(listener)


async def _missed(request: Request, live: Live, store: str) -> list[Changed | None]:
    """The changes since the page was made or its stream broke off; [None] when they are too many."""
    text = request.headers.get("last-event-id") or request.query_params.get("since", "")
    try:
        since = parse_moment_of_query(text)
    except InvalidMoment:
        return []
    if _age(since) > _OLDEST:
        return [None]
    changes: list[Changed | None] = list(await live.changed(store, since - timedelta(seconds=2)))
    return changes if len(changes) < _MOST else [None]


def _age(since: datetime) -> timedelta:
    return datetime.now(since.tzinfo) - since


def _still_member(request: Request, site: InboxSite, store: str) -> bool:
    """Whether the person of the page is still signed in and works for the store."""
    person = site.pages.visitors.known(request)
    return person is not None and store in person.stores


def _event(site: InboxSite, store: str, change: Changed | None) -> bytes:
    if change is None:
        return b"event: stale\ndata: {}\n\n"
    case = change.case
    at = case.changed_at.isoformat() if case.changed_at else ""
    return (
        b"id: "
        + at.encode()
        + b"\nevent: case\ndata: "
        + orjson.dumps(change_shown(site, store, change))
        + b"\n\n"
    )


def change_shown(site: InboxSite, store: str, change: Changed) -> dict[str, Any]:
    """A changed case as the script of a page gets it, without anything that a customer said."""
    case, names = change.case, site.names(store)
    clock = list_clock(case, site.now(), site.zone(store))
    owner, status, due = owner_of(case, names), status_of(case), case.due_at
    return {
        "id": case.case_id,
        "number": case.number,
        "version": case.version,
        "live": case.live,
        "state": case.status,
        "status": {"text": status.text, "kind": status.kind},
        "owner": {"key": owner.key, "name": owner.name, "initials": owner.initials},
        "priority": case.priority,
        "team": case.team or "",
        "due": due.timestamp() if due else None,
        "clock": {
            "kind": clock.kind,
            "text": clock.text,
            "at": clock.at.timestamp() if clock.at else None,
            "ticks": clock.ticks,
        },
        "opened": case.opened_at.timestamp(),
        "what": change.what,
        "by": names.actor(change.who),
        "byMe": change.who.removeprefix("user:"),
    }
