"""The stream of changes, from a server that really streams."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from services.notifier.inbox import live
from shared.access import users
from shared.db import Database
from shared.http.budget import Budget
from shared.http.protocol import Protocol
from shared.ops.settings import ListenSettings
from tests.integration.notifier.inbox_pages import Agent, Branch


class Serving:
    """The pages at an address of their own in this process, with the protocol of our services."""

    def __init__(self, app: Any) -> None:
        protocol: Any = partial(Protocol, budget=Budget(ListenSettings()))
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, http=protocol, lifespan="off")
        )
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    async def start(self) -> str:
        self._running = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(20):
            while not self._server.started:
                await asyncio.sleep(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._running


class Stream:
    """The events of a stream, as an EventSource reads them."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self, kind: str = "case") -> dict[str, Any]:
        """The data of the next event of this kind. Raises StopAsyncIteration at the end."""
        async with asyncio.timeout(20):
            event = ""
            while True:
                line = await anext(self._lines)
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                if line.startswith("data: ") and event == kind:
                    data: dict[str, Any] = orjson.loads(line.removeprefix("data: "))
                    return data


@pytest.fixture
def branch(database: Database) -> Branch:
    return Branch(database)


@pytest.fixture
async def serving(branch: Branch) -> AsyncIterator[Serving]:
    serving = Serving(branch.application())
    yield serving
    await serving.stop()


@pytest.fixture
async def noor(branch: Branch, serving: Serving) -> AsyncIterator[Agent]:
    url = await serving.start()
    email = await branch.hire("Noor Bakker")
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        agent = Agent(client)
        await agent.sign_in(email)
        yield agent


@asynccontextmanager
async def listening(agent: Agent, since: datetime | None = None) -> AsyncIterator[Stream]:
    parameters = {"since": since.isoformat()} if since else {}
    headers = {"Accept": "text/event-stream"}
    async with agent.client.stream("GET", "/inbox/live", params=parameters, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


class TestTheStream:
    async def test_tells_each_change_once_and_no_word_of_the_customer(
        self, branch: Branch, noor: Agent
    ) -> None:
        case_id = await branch.open("Ruth", comment="a secret")
        async with listening(noor, datetime.now(UTC)) as stream:
            await stream.next("beat")
            await noor.act(case_id, "take")
            change = await stream.next()
            while change["version"] < 2:  # the opening may be told too, as it is young
                change = await stream.next()
            await noor.act(case_id, "note", text="another secret")
            noted = await stream.next()

        assert (change["id"], change["version"], change["status"]["text"]) == (case_id, 2, "Assigned")
        assert change["owner"]["name"] == change["by"] == "Noor Bakker"
        assert (noted["version"], noted["what"]) == (3, "noted")
        assert "secret" not in str([change, noted])
        assert "Ruth" not in str([change, noted])

    async def test_tells_what_was_missed_since_the_page_was_made(self, branch: Branch, noor: Agent) -> None:
        since = datetime.now(UTC)
        case_id = await branch.open("Ruth")
        async with listening(noor, since) as stream:
            assert (await stream.next())["id"] == case_id

    async def test_says_when_too_much_was_missed(self, noor: Agent) -> None:
        async with listening(noor, datetime.now(UTC) - timedelta(hours=1)) as stream:
            assert await stream.next("stale") == {}

    async def test_ends_for_somebody_who_left_the_store(
        self, branch: Branch, noor: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "BEAT_SECONDS", 0.1)
        async with listening(noor) as stream:
            await stream.next("beat")
            async with branch.database.transaction() as session:
                account = await users.by_email(session, branch.email("Noor"))
                assert account is not None
                await users.leave(session, account.user_id, branch.here)
            await branch.roster.refresh()
            with pytest.raises(StopAsyncIteration):
                while True:
                    await stream.next()

    async def test_a_stop_of_the_service_does_not_wait_for_it(self, noor: Agent, serving: Serving) -> None:
        async with listening(noor) as stream:
            await stream.next("beat")
            started = time.monotonic()
            await serving.stop()
            assert time.monotonic() - started < 3

    async def test_there_is_a_most_of_listeners(self, noor: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "MOST_LISTENERS", 1)
        async with listening(noor) as stream:
            await stream.next("beat")
            refused = await noor.client.get("/inbox/live")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "30"

    async def test_nobody_takes_all_of_them(self, noor: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "MOST_OF_ONE", 1)
        async with listening(noor) as stream:
            await stream.next("beat")
            refused = await noor.client.get("/inbox/live")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
