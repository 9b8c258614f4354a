"""The files of the project that one angry answer enters: `python -m bench.walk [--functions]`.

Two ways are walked: from the POST to the sent webhook (collector and notifier), and from the POST to the
counted score (collector and scorer). For each way it prints how many files are entered, how often the next
function stands in another file (a switch), and the files in the order of first entry, with the number of
functions called in each. So it tells what a layout costs its readers; run it on two commits to compare them.

What is counted:

- Each service runs as `python -m services.NAME serve` with `bench.calls` in it, on a Kafka and a PostgreSQL
  of its own. The first answers fill caches and are not counted. Then ANSWERS more are sent, one at a time,
  each of a new customer, and with a score that opens a case and sends an alert.
- A file is entered when a function in it is called between the POST and the moment at which the receiver has
  the webhook, the scorer has committed, and what follows that (the delivery is noted as sent) is done.
  Only files of `services/` and `shared/` count; neither imports nor the start of a service do. The
  `GET /v1/scores` that shows the counted answer comes after that.
- Of the loops that a service starts by name, the consumer and the one that sends alerts count. The others
  (the relay of facts, the publisher of scores, health, leases, keys) run beside the answer.
- A function counts only when *every* answer called it, so what the clock started meanwhile falls out.
- Each function is taken once, where it is called first. Tasks of a process take turns, which only adds
  switches: the order and the switches are those of the answer with the fewest.

The way back of the 202, the log and the metrics are in it: they are called, although few need to read them.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvloop

from bench import calls, http, posts
from bench.calls import Call
from bench.receiver import Receiver
from bench.stage import Failed, Running, Stage
from deploy.local.process import wait_until

ANSWERS = 15
_WARM = 5
_SERVICES = ("collector", "scorer", "notifier")
_CONSUMER, _SENDING = "consumer-", "deliveries"  # what `shared/service` and the notifier call these loops
_SCORE = 2
_TIMEOUT_SECONDS = 20.0
_POLL_SECONDS = 0.002
_REST_SECONDS = 0.2  # after this, what follows a commit and a send is done, on a busy machine, too
_HOOK = """
import os
from bench import calls
if file := os.environ.get("BENCH_CALLS_FILE"):
    calls.start(file)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """The functions, as FILE:LINE:NAME, that every answer called, in the order of first calls."""

    title: str
    functions: Sequence[str]

    @property
    def files(self) -> dict[str, list[str]]:
        """The functions of each file, files in the order of first entry."""
        functions: dict[str, list[str]] = {}
        for function in self.functions:
            file, _, name = function.split(":", 2)
            functions.setdefault(file, []).append(name)
        return functions

    @property
    def switches(self) -> int:
        return switches(self.functions)


def switches(functions: Sequence[str]) -> int:
    """How often the next function stands in another file."""
    files = [function.partition(":")[0] for function in functions]
    return sum(now != following for now, following in itertools.pairwise(files))


def way_of(title: str, walks: Sequence[Iterable[Call]]) -> Way:
    """What all walks have in common, in the order of the one with the fewest switches."""
    firsts = [list(dict.fromkeys(name for _, name, loop in sorted(walk) if _carries(loop))) for walk in walks]
    common = set.intersection(*map(set, firsts))
    orders = [[name for name in first if name in common] for first in firsts]
    return Way(title, min(orders, key=switches))


def _carries(loop: str) -> bool:
    """Whether it brings an answer further: a request, the consumer, or what sends alerts."""
    return not loop or loop.startswith(_CONSUMER) or loop == _SENDING


def main(argv: Sequence[str] | None = None) -> int:
    """Walk both ways and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.walk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", action="store_true", help="name the functions of each file, too")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stop what runs, as Ctrl-C does
    try:
        with Stage() as stage, tempfile.TemporaryDirectory(prefix="closeloop-walk-") as folder:
            url = stage.database("walk")
            ways = uvloop.run(_walk(stage, url, stage.key(url), Path(folder)))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    for way in ways:
        _show(way, functions=arguments.functions)
    return 0


def _show(way: Way, *, functions: bool) -> None:
    print(f"\n{way.title}: {len(way.files)} files, {way.switches} switches, {len(way.functions)} functions")
    parts = Counter("/".join(file.split("/")[:2]) for file in way.files)
    print("  " + ", ".join(f"{part} {count}" for part, count in parts.most_common()))
    for number, (file, names) in enumerate(way.files.items(), 1):
        print(f"{number:4}  {file}  ({len(names)})")
        if functions:
            print("".join(f"          {name}\n" for name in names), end="")


async def _walk(stage: Stage, url: str, key: str, folder: Path) -> list[Way]:
    (folder / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
    async with Receiver() as receiver:
        python_path = os.pathsep.join((str(folder), str(calls.PROJECT)))
        settings = {
            name: {"PYTHONPATH": python_path, "BENCH_CALLS_FILE": str(folder / f"{name}.json")}
            for name in _SERVICES
        }
        running = await stage.services(url, receiver.url, settings)
        client = await _Client.open(running, url, key, receiver)
        try:
            for number in range(_WARM):
                await client.answer(number)
            _signal_all(running, signal.SIGUSR1)
            spans = [await client.answer(_WARM + number) for number in range(ANSWERS)]
        finally:
            await client.close()
        _signal_all(running, signal.SIGUSR2)
        noted = {name: await asyncio.to_thread(_read, folder / f"{name}.json") for name in _SERVICES}
    to_webhook = [_between(noted, ("collector", "notifier"), *span) for span in spans]
    to_score = [_between(noted, ("collector", "scorer"), *span) for span in spans]
    if not all(any(loop == _SENDING for _, _, loop in walk) for walk in to_webhook):
        raise Failed(f"no loop is named {_SENDING}: bench/walk.py must know the one that sends alerts")
    return [
        way_of("From the POST to the sent webhook", to_webhook),
        way_of("From the POST to the counted score", to_score),
    ]


def _signal_all(running: dict[str, Running], number: signal.Signals) -> None:
    for service in running.values():
        os.kill(service.pid, number)


def _read(file: Path) -> list[Call]:
    if not wait_until(file.exists, timeout_seconds=_TIMEOUT_SECONDS):
        raise Failed(f"{file.stem} did not write down its calls")
    return [(moment, name, loop) for moment, name, loop in json.loads(file.read_text(encoding="utf-8"))]


def _between(noted: dict[str, list[Call]], services: Sequence[str], start: float, end: float) -> list[Call]:
    return [call for name in services for call in noted[name] if start <= call[0] <= end]


class _Client:
    """Sends one answer after the other and watches where it arrives."""

    def __init__(self, key: str, receiver: Receiver, db: "asyncpg.Connection[Any]") -> None:
        self._key = key
        self._receiver = receiver
        self._db = db
        self._dice = random.Random(5)
        self._connections: dict[str, http.Connection] = {}

    @classmethod
    async def open(cls, running: dict[str, Running], url: str, key: str, receiver: Receiver) -> "_Client":
        client = cls(key, receiver, await asyncpg.connect(url))
        for name in ("collector", "scorer"):
            client._connections[name] = await http.Connection.open(running[name].port)
        return client

    async def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        await self._db.close()

    async def answer(self, number: int) -> tuple[float, float]:
        """A low answer of a new customer: when it was posted, and when all was done.

        Raises Failed when it does not arrive at both ends.
        """
        await asyncio.sleep(0.3 + self._dice.random())  # so that the clock's work falls anywhere
        await self._post(b"{}")  # refused; the collector remembers the key now, for a second
        name, offset = f"walk-{number}", await self._offset()
        comment = "It came late, and the zip was broken."
        body = posts.answer_body(response_id=name, customer=name, score=_SCORE, comment=comment)
        posted = time.perf_counter()
        status = await self._post(body)
        if status != 202:
            raise Failed(f"the collector answered with {status}")
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                while await self._offset() <= offset:
                    await asyncio.sleep(_POLL_SECONDS)
                while name not in self._receiver.arrived:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise Failed(f"an answer did not arrive within {_TIMEOUT_SECONDS:.0f} s") from None
        await asyncio.sleep(_REST_SECONDS)
        ended = time.perf_counter()
        count = await self._count()
        if count != number + 1:
            raise Failed(f"the score counts {count} answers instead of {number + 1}")
        return posted, ended

    async def _post(self, body: bytes) -> int:
        request = posts.json_request("/v1/responses", self._key, body)
        status, _ = await self._connections["collector"].request(request)
        return status

    async def _offset(self) -> int:
        """How far the scorer has committed. SQL tells it without a call in the scorer."""
        return int(await self._db.fetchval("SELECT sum(next_offset) FROM scorer.progress") or 0)

    async def _count(self) -> int:
        request = http.get("/v1/scores?policy=all&window=7d&segment=country:NL", self._key)
        status, body = await self._connections["scorer"].request(request)
        if status != 200:
            raise Failed(f"the scorer answered with {status}: {body.decode()}")
        return int(orjson.loads(body)["n"] or 0)


if __name__ == "__main__":
    sys.exit(main())
