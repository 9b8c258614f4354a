"""A careful client: the same request again until it is accepted, and every word of it in the ledger."""

import asyncio
import random
from collections import Counter
from typing import Any, Self

import httpx

from tests.faults.ledger import Ledger
from tests.faults.traffic import Step, Traffic

AT_ONCE = 200
TIMEOUT_SECONDS = 12
LONGEST_PAUSE_SECONDS = 2.0


class Client:
    """Sends at a steady rate to several collectors. `outcomes`: ok, no (refused), unknown."""

    def __init__(self, collectors: list[str], key: str, ledger: Ledger, traffic: Traffic) -> None:
        self.outcomes: Counter[str] = Counter()
        self.refused: list[str] = []
        self.put_off = 0
        """How often it was told to try again."""
        self._collectors = collectors
        self._ledger = ledger
        self.traffic = traffic
        self._rng = random.Random(f"client/{traffic.seed}")
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=50),
            trust_env=False,
            verify=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def run(self, rate: float) -> None:
        """For ever: so many requests a second, waiting for none of them."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - clock()))
            if len(self._tasks) < AT_ONCE:
                for step in self.traffic.next():
                    self.start(step)
            else:
                due = clock()

    def start(self, step: Step) -> None:
        task = asyncio.create_task(self._perform(step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drained(self, within_seconds: float) -> None:
        """Everything that was begun has been answered."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=within_seconds)
            assert not late, f"{len(late)} requests were not accepted within {within_seconds:.0f} s"

    async def _perform(self, step: Step) -> None:
        intent = {"step": step.name, "kind": step.kind, "about": step.about, "body": step.body}
        await self._ledger.write(intent)
        outcome, attempts = await self._send(step)
        await self._ledger.write({"step": step.name, "outcome": outcome, "attempts": attempts})
        self.outcomes[outcome] += 1
        if outcome == "ok":
            self.traffic.accepted(step)

    async def _send(self, step: Step) -> tuple[str, int]:
        attempt = 0
        while True:
            attempt += 1
            url = self._rng.choice(self._collectors) + step.path
            pause = min(LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt)
            try:
                said = await self._http.request(step.method, url, json=step.body)
            except httpx.TransportError:
                pass  # it may be in the log or not
            else:
                if said.status_code == 202:
                    return "ok", attempt
                if said.status_code != 503:  # not even while it stops: only 503 says what to do next
                    self.refused.append(f"{step.kind} {step.about}: {said.status_code} {said.text[:300]}")
                    return "no", attempt
                self.put_off += 1
                _check_503(step, said.json())
                pause = max(pause, float(said.headers["retry-after"]))
            if attempt == step.patience:
                return "unknown", attempt
            await asyncio.sleep(pause * self._rng.uniform(1.0, 1.5))


def _check_503(step: Step, problem: dict[str, Any]) -> None:
    """If it says what to retry with, it is what we sent."""
    if step.path == "/v1/responses" and "response_id" in problem:
        assert problem["response_id"] == step.about
