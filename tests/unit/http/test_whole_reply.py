"""That uvicorn is as a whole reply needs it, and what happens where it is not."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from shared.http import whole_reply
from shared.http.whole_reply import WHOLE_REPLY, WholeReplies


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """The answer of a process is kept; each test asks for its own."""
    whole_reply.usable.cache_clear()
    yield
    whole_reply.usable.cache_clear()


class TestThisUvicorn:
    def test_is_left_by_a_whole_reply_as_by_its_own_two_messages(self) -> None:
        assert whole_reply.unexpected() == ""

    async def test_is_tried_out_also_where_a_loop_runs(self) -> None:
        assert whole_reply.usable()


class TestAnotherUvicorn:
    @pytest.fixture(params=["a flag more", "no response_started", "no message_event", "no cycle"])
    def changed(self, request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A uvicorn of which one thing is not as it was."""
        send, init = RequestResponseCycle.send, RequestResponseCycle.__init__

        async def send_and_note(cycle: Any, message: Any) -> None:
            await send(cycle, message)
            cycle.body_sent = cycle.response_complete

        def renamed(cycle: Any, *args: Any, **options: Any) -> None:
            init(cycle, *args, **options)
            del cycle.__dict__[request.param.removeprefix("no ")]

        if request.param == "a flag more":
            monkeypatch.setattr(RequestResponseCycle, "send", send_and_note)
        elif request.param == "no cycle":
            monkeypatch.setattr(
                HttpToolsProtocol, "cycle", property(lambda _: None, lambda *_: None), raising=False
            )
        else:
            monkeypatch.setattr(RequestResponseCycle, "__init__", renamed)

    def test_gets_no_whole_reply_and_one_warning(self, changed: None) -> None:
        with capture_logs() as lines:
            assert not whole_reply.usable()
            assert not whole_reply.usable()
        assert [(line["event"], line["log_level"]) for line in lines] == [
            ("whole_reply.not_usable", "warning")
        ]


class TestARequest:
    @pytest.mark.parametrize("usable", [True, False])
    async def test_is_offered_a_whole_reply_only_by_a_uvicorn_that_fits(
        self, usable: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(whole_reply, "usable", lambda: usable)
        scopes: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await asyncio.Event().wait()

        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        protocol = WholeReplies(config, server := ServerState(), {})
        protocol.connection_made(asyncio.Transport())
        protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await asyncio.wait(server.tasks, timeout=0.01)
        for task in server.tasks:
            task.cancel()
        assert [WHOLE_REPLY in scope for scope in scopes] == [usable]
