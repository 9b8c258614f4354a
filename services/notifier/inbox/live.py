"""Changes of cases as they happen: one query a second for a store, however many people listen to it."""

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

from services.notifier.inbox import store as inbox
from services.notifier.inbox.clocks import in_list
from services.notifier.inbox.list_view import owner_of, status_of
from services.notifier.inbox.site import AtStore, Office
from services.notifier.inbox.store import Changed
from shared.http import Problem
from shared.ops.logs import log

_log = log("notifier")

EVERY_SECONDS = 1.0
BEAT_SECONDS = 5.0
MOST_LISTENERS = 200
"""Of a process; each holds one of its `requests_in_flight`."""

_OVERLAP = timedelta(seconds=10)
"""A transaction commits after `changed_at` was set: this much later, at most, it is seen still."""

_MOST = 500
_OLDEST = timedelta(minutes=10)

Read = Callable[[str, datetime], Awaitable[list[Changed]]]


@dataclass(eq=False)
class Listener:
    """One page that is open. `queue` has cases as they change; None says that too much was missed."""

    store: str
    queue: asyncio.Queue[Changed | None] = field(default_factory=lambda: asyncio.Queue(_MOST))


class Live:
    """Reads what changed while there is somebody to tell, and tells all of them."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._listeners: dict[str, set[Listener]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    def check_room(self) -> None:
        """Raises Problem 503 when too many listen."""
        if sum(len(listeners) for listeners in self._listeners.values()) >= MOST_LISTENERS:
            raise Problem(503, "busy", "Too many pages are live right now.", headers={"Retry-After": "30"})

    def listen(self, store: str) -> Listener:
        listener = Listener(store)
        self._listeners.setdefault(store, set()).add(listener)
        if store not in self._readers:
            self._readers[store] = asyncio.create_task(self._read(store), name=f"live-{store}")
        return listener

    def leave(self, listener: Listener) -> None:
        """The last one of a store ends its reading."""
        others = self._listeners.get(listener.store, set())
        others.discard(listener)
        if not others:
            self._listeners.pop(listener.store, None)
            if reader := self._readers.pop(listener.store, None):
                reader.cancel()

    async def changed(self, store: str, since: datetime) -> list[Changed]:
        async with self._office.database.transaction() as session:
            return await inbox.changed_since(session, store, since, limit=_MOST)

    async def _read(self, store: str) -> None:
        seen: dict[tuple[str, int], datetime] = {}
        since: datetime | None = None
        while True:
            try:
                if since is None:
                    async with self._office.database.transaction() as session:
                        since = await inbox.clock(session) - _OVERLAP
                found = await self.changed(store, since)
            except Exception as error:  # PostgreSQL is away: the next turn tries again
                _log.warning("live.not_read", store=store, exc_info=error)
                await asyncio.sleep(EVERY_SECONDS)
                continue
            for change in found:
                key = (change.case.case_id, change.case.version)
                if key not in seen:
                    self._tell(store, change)
                seen[key] = change.case.changed_at or since
            if found and found[-1].case.changed_at:
                # A full page: what is older than its end was told, so that reading comes forward.
                newest = found[-1].case.changed_at
                since = newest if len(found) == _MOST else max(since, newest - _OVERLAP)
                seen = {key: at for key, at in seen.items() if at >= since}
            await asyncio.sleep(EVERY_SECONDS)

    def _tell(self, store: str, change: Changed) -> None:
        for listener in self._listeners.get(store, ()):
            if listener.queue.full():
                while not listener.queue.empty():
                    listener.queue.get_nowait()
                listener.queue.put_nowait(None)
            else:
                listener.queue.put_nowait(change)


def routes(office: Office) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    live = Live(office)

    @router.get("/inbox/live")
    async def stream(request: Request, at: AtStore) -> Response:
        """`since` (or Last-Event-ID): the moment from which changes are wanted."""
        live.check_room()
        request.scope["closeloop.endless"] = True
        return StreamingResponse(
            _told(request, office, live, at.store),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def _told(request: Request, office: Office, live: Live, store: str) -> AsyncIterator[bytes]:
    listener = live.listen(store)
    try:
        yield b"retry: 2000\n\n"
        for change in await _missed(request, live, store):
            yield _event(office, store, change)
        yield b"event: beat\ndata: {}\n\n"
        while _still_member(request, office, store):
            change = None
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    change = await listener.queue.get()
                    if change is None:
                        yield b"event: stale\ndata: {}\n\n"
                        continue
            yield _event(office, store, change) if change else b"event: beat\ndata: {}\n\n"
    finally:
        live.leave(listener)


async def _missed(request: Request, live: Live, store: str) -> list[Changed | None]:
    """What changed since the page was made, or since the stream broke off; None when that is too much."""
    text = request.headers.get("last-event-id") or request.query_params.get("since", "")
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        return []
    if since.tzinfo is None or _age(since) > _OLDEST:
        return [None]
    found: list[Changed | None] = list(await live.changed(store, since - timedelta(seconds=2)))
    return found if len(found) < _MOST else [None]


def _age(since: datetime) -> timedelta:
    return datetime.now(since.tzinfo) - since


def _still_member(request: Request, office: Office, store: str) -> bool:
    """Whoever signs out or leaves the store hears no more."""
    person = office.pages.people.known(request)
    return person is not None and store in person.stores


def _event(office: Office, store: str, change: Changed | None) -> bytes:
    if change is None:
        return b"event: stale\ndata: {}\n\n"
    case = change.case
    at = case.changed_at.isoformat() if case.changed_at else ""
    return (
        b"id: "
        + at.encode()
        + b"\nevent: case\ndata: "
        + orjson.dumps(told_of(office, store, change))
        + b"\n\n"
    )


def told_of(office: Office, store: str, change: Changed) -> dict[str, Any]:
    """What the script of a page is told of a case; nothing that a customer said."""
    case, names = change.case, office.names(store)
    clock = in_list(case, office.now(), office.zone(store))
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
