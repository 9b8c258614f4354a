"""Whoever listens to a response hears every one."""

from typing import Any

from shared.http.traced import TracedRequests
from shared.http.whole_reply import WHOLE_REPLY


class TestATracedRequest:
    async def test_offers_no_way_around_its_span(self, recorded: Any) -> None:
        seen: list[bool] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(WHOLE_REPLY in scope)
            await send({"type": "http.response.start", "status": 202, "headers": []})

        async def send(_: Any) -> None:
            pass

        scope = {"type": "http", "path": "/x", "method": "POST", "headers": [], WHOLE_REPLY: lambda _: True}
        await TracedRequests(app, route="/x")(scope, send, send)  # type: ignore[arg-type]  # nobody receives
        assert seen == [False]
        (span,) = recorded.spans()
        assert span.attributes["http.response.status_code"] == 202
