"""Post what the shop does, as a careful storefront would: with retries, and never the same thing twice."""

import asyncio
import json
import random
from collections import Counter
from types import TracebackType
from typing import Any, Self

from cli import CommandError
from cli.demo.connection import Answer, Broken, Connection
from cli.demo.journeys import Step

ATTEMPTS = 8
TIMEOUT_SECONDS = 10
LONGEST_WAIT_SECONDS = 5.0
ORIGIN = "http://localhost:8000"
# So many refusals and nothing accepted: it is not the odd mistake.
GIVE_UP_AFTER = 20


class Sender:
    """Sends steps to the collector; `outcomes` counts how they ended, `refusal` is the first that was
    refused."""

    def __init__(self, demo: dict[str, Any], *, at_once: int) -> None:
        self.at_once = at_once
        self.outcomes: Counter[str] = Counter()
        self.refusal = ""
        self._secret = {"Authorization": f"Bearer {demo['secret_key']}"}
        self._public = {"Authorization": f"Bearer {demo['public_key']}", "Origin": ORIGIN}
        url = demo["urls"]["collector"]
        self._connections = [Connection(url, timeout_seconds=TIMEOUT_SECONDS) for _ in range(at_once)]
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in self._connections:
            self._free.put_nowait(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.close()

    async def send(self, step: Step) -> None:
        """Send until there is an answer, a few times at most. CommandError if the product refuses all."""
        connection = await self._free.get()
        try:
            await self._send(connection, step)
        finally:
            self._free.put_nowait(connection)

    async def _send(self, connection: Connection, step: Step) -> None:
        body = json.dumps(step.body).encode() if step.body else b""
        headers = self._public if step.public else self._secret
        for attempt in range(ATTEMPTS):
            try:
                answer = await connection.request(step.method, step.path, headers=headers, body=body)
            except Broken:
                await _pause(attempt)
                continue
            if answer.status in (429, 502, 503, 504):
                await _pause(attempt, answer.headers.get("retry-after"))
                continue
            self._count(step, answer)
            return
        self.outcomes["unanswered"] += 1
        if self.outcomes["unanswered"] >= GIVE_UP_AFTER:
            raise CommandError(
                "The collector does not answer", remedy="`closeloop status` says how the product is doing."
            )

    def _count(self, step: Step, answer: Answer) -> None:
        if answer.status < 300:
            self.outcomes["answers" if step.is_answer else "other facts"] += 1
            return
        if answer.status == 401:
            raise CommandError(
                "The collector does not know the demo store's key",
                remedy="Start `make run` again: it makes new keys when the database has none.",
            )
        self.outcomes["refused"] += 1
        self.refusal = self.refusal or f"{step.method} {step.path}: {answer.status} {answer.body[:300]!r}"
        if self.outcomes["refused"] >= GIVE_UP_AFTER and not self.outcomes["answers"]:
            raise CommandError(
                f"The collector refuses everything, first {self.refusal}",
                remedy="Is it of the same version as this command, and the store that of closeloop.yaml?",
            )


async def _pause(attempt: int, retry_after: str | None = None) -> None:
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else 0.1 * 2**attempt
    await asyncio.sleep(min(wait, LONGEST_WAIT_SECONDS) * random.uniform(0.7, 1.3))
