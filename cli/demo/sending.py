"""Post what the shop does, as a careful storefront would: with retries, and never the same thing twice."""

import asyncio
import random
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

from cli import CommandError
from cli.demo.shop import Step

ATTEMPTS = 8
TIMEOUT_SECONDS = 10
LONGEST_WAIT_SECONDS = 5.0
ORIGIN = "http://localhost:8000"
# So many refusals and nothing accepted: it is not the odd mistake.
GIVE_UP_AFTER = 20


class Sender:
    """One client of the collector; `outcomes` counts what became of the steps."""

    def __init__(self, demo: dict[str, Any], *, at_once: int) -> None:
        self.at_once = at_once
        self.outcomes: Counter[str] = Counter()
        self.refusal = ""
        self._secret = {"Authorization": f"Bearer {demo['secret_key']}"}
        self._public = {"Authorization": f"Bearer {demo['public_key']}", "Origin": ORIGIN}
        self._client = httpx.AsyncClient(
            base_url=demo["urls"]["collector"],
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, step: Step) -> None:
        """Send until there is an answer, a few times at most. CommandError if the product refuses all."""
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._client.request(
                    step.method,
                    step.path,
                    json=step.body if step.body else None,
                    headers=self._public if step.public else self._secret,
                )
            except httpx.HTTPError:
                await _pause(attempt)
                continue
            if answer.status_code in (429, 502, 503, 504):
                await _pause(attempt, answer.headers.get("Retry-After"))
                continue
            self._count(step, answer)
            return
        self.outcomes["unanswered"] += 1
        if self.outcomes["unanswered"] >= GIVE_UP_AFTER:
            raise CommandError(
                "The collector does not answer", remedy="`closeloop status` says how the product is doing."
            )

    def _count(self, step: Step, answer: httpx.Response) -> None:
        if answer.is_success:
            self.outcomes["answers" if step.is_answer else "other facts"] += 1
            return
        if answer.status_code == 401:
            raise CommandError(
                "The collector does not know the demo store's key",
                remedy="Start `make run` again: it makes new keys when the database has none.",
            )
        self.outcomes["refused"] += 1
        self.refusal = self.refusal or f"{step.method} {step.path}: {answer.status_code} {answer.text[:300]}"
        if self.outcomes["refused"] >= GIVE_UP_AFTER and not self.outcomes["answers"]:
            raise CommandError(
                f"The collector refuses everything, first {self.refusal}",
                remedy="Is it of the same version as this command, and the store that of closeloop.yaml?",
            )


async def _pause(attempt: int, asked: str | None = None) -> None:
    wait = float(asked) if asked and asked.isdecimal() else 0.1 * 2**attempt
    await asyncio.sleep(min(wait, LONGEST_WAIT_SECONDS) * random.uniform(0.7, 1.3))
