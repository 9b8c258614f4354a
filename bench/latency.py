"""From the POST to the visible score and to the received webhook, at a steady rate, all on one machine."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

import asyncpg
import orjson
import uvloop

from bench import http, machine, posts
from bench.answers import COUNTRIES
from bench.percentiles import percentile
from bench.receiver import Receiver
from bench.report import Figures, Goal, Part
from bench.stage import Failed, Running, Stage

RATE = 200
UNHAPPY = 0.15
SERVICES = ("collector", "scorer", "segmenter", "notifier")
_LANES = 2
_POLL_SECONDS = 0.015
_WARM_SECONDS = 10.0  # after five, the Java machine still compiles what Kafka does
_CONNECTIONS = 48
# Of each alert as PostgreSQL's rows tell it: received by the collector, its delivery made in the notifier's
# transaction, claimed after that is committed and the sender woken, taken by the receiver.
_PARTS = """
    SELECT extract(epoch FROM created_at - received_at) * 1000 AS consume,
           extract(epoch FROM first_at - created_at) * 1000 AS commit,
           last_milliseconds AS send
    FROM notifier.deliveries WHERE state = 'sent' AND response_id LIKE 'run-%'
"""


@dataclass(slots=True)
class Seen:
    """Milliseconds from the moment at which an answer was due to be sent."""

    accept: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    webhook: list[float] = field(default_factory=list)
    unhappy: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    refused: int = 0
    parts: dict[str, list[float]] = field(default_factory=dict)


def run(*, quick: bool) -> Part:
    """Four services, Kafka, PostgreSQL, the client and the receiver of webhooks share the machine."""
    seconds = 12.0 if quick else 30.0
    with Stage() as stage:
        url = stage.database("latency")
        key = stage.key(url)
        seen, cpu = uvloop.run(_measure(stage, url, key, seconds))
    part = Part("latency")
    figures = Figures(
        f"{RATE} answers/s for {seconds:.0f} s, in ms",
        ("from the POST until", "answers", "p50", "p95", "p99", "highest"),
    )
    for label, times in (
        ("accepted (202)", seen.accept),
        ("visible in GET /v1/scores", seen.visible),
        ("webhook received", seen.webhook),
    ):
        figures.rows.append(
            (label, len(times), *[percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)])
        )
    parts = Figures("the webhook's parts, in ms", ("part", "alerts", "p50", "p95", "p99", "highest"))
    for label, times in (("accept: POST to 202", seen.accept), *seen.parts.items()):
        shares = [percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)]
        parts.rows.append((label, len(times), *shares))
    used = Figures("CPU meanwhile, in percent of one core", ("process", "percent"))
    used.rows += [(name, share * 100) for name, share in cpu.items()]
    part.figures = [figures, parts, used]
    part.goals = [
        Goal("POST to visible score, p99", 250, percentile(seen.visible, 0.99), "ms"),
        Goal("POST to received webhook, p99", 250, percentile(seen.webhook, 0.99), "ms"),
    ]
    part.checks = {
        f"{seen.sent:,} answers sent, {seen.refused} not accepted": seen.refused == 0,
        f"{len(seen.unhappy):,} unhappy customers, {len(seen.webhook):,} webhooks": (
            len(seen.unhappy) == len(seen.webhook)
        ),
    }
    part.notes = [
        f"open loop: an answer counts from when it was due; {UNHAPPY:.0%} are unhappy and open a case each",
        f"visible: beside the steady rate, {_LANES} segments get one answer at a time and are asked for "
        f"every {_POLL_SECONDS * 1000:.0f} ms",
    ]
    return part


async def _measure(stage: Stage, url: str, key: str, seconds: float) -> tuple[Seen, dict[str, float]]:
    async with Receiver() as receiver:
        running = await stage.services(url, receiver.url, {name: {} for name in SERVICES})
        await _drive(running, key, _WARM_SECONDS, "warm")
        before, started = _cpu(stage, running), time.perf_counter()
        seen = await _drive(running, key, seconds, "run")
        elapsed = time.perf_counter() - started
        cpu = {name: (after - before[name]) / elapsed for name, after in _cpu(stage, running).items()}
        until = time.monotonic() + 30
        while time.monotonic() < until and not seen.unhappy.keys() <= receiver.arrived.keys():
            await asyncio.sleep(0.1)
        seen.webhook = [
            (receiver.arrived[answer] - due) * 1000
            for answer, due in seen.unhappy.items()
            if answer in receiver.arrived
        ]
        seen.parts = await _parts(url)
        return seen, cpu


async def _parts(url: str) -> dict[str, list[float]]:
    db = await asyncpg.connect(url)
    try:
        rows = await db.fetch(_PARTS)
    finally:
        await db.close()
    return {
        "consume: receipt to its delivery": [float(row["consume"]) for row in rows],
        "commit: until it is claimed": [float(row["commit"]) for row in rows],
        "send: until the receiver's answer": [float(row["send"]) for row in rows],
    }


def _cpu(stage: Stage, running: dict[str, Running]) -> dict[str, float]:
    return {
        **{name: service.cpu_seconds() for name, service in running.items()},
        "kafka": machine.cpu_seconds(stage.engine_pids()["kafka"]),
        "postgres": stage.postgres_cpu_seconds(),
        "bench itself": time.process_time(),
        "the whole machine": machine.busy_seconds(),
    }


async def _drive(running: dict[str, Running], key: str, seconds: float, tag: str) -> Seen:
    """The steady rate, and beside it the lanes that watch a score."""
    seen = Seen()
    until = time.perf_counter() + seconds
    lanes = [
        asyncio.create_task(_watch(running, key, f"probe-{number}", tag, until, seen))
        for number in range(_LANES)
    ]
    await _steadily(running["collector"].port, key, tag, seconds, seen)
    await asyncio.gather(*lanes)
    return seen


async def _steadily(port: int, key: str, tag: str, seconds: float, seen: Seen) -> None:
    dice = random.Random(11)
    free: asyncio.Queue[http.Connection] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(await http.Connection.open(port))
    started = time.perf_counter()
    tasks = []
    for number in range(int(seconds * RATE)):
        due = started + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        response_id, low = f"{tag}-{number}", dice.random() < UNHAPPY
        body = posts.answer_body(
            response_id=response_id,
            customer=f"{tag}-c-{number}",
            score=dice.randrange(7) if low else dice.randrange(7, 11),
            comment="It came in one piece.",
            country=dice.choice(COUNTRIES),
        )
        if low:
            seen.unhappy[response_id] = due
        tasks.append(
            asyncio.create_task(_post(free, posts.json_request("/v1/responses", key, body), due, seen))
        )
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait().close()


async def _post(free: "asyncio.Queue[http.Connection]", request: bytes, due: float, seen: Seen) -> None:
    connection = await free.get()
    try:
        status, _ = await connection.request(request)
    finally:
        free.put_nowait(connection)
    seen.sent += 1
    seen.refused += status != 202
    seen.accept.append((time.perf_counter() - due) * 1000)


async def _watch(
    running: dict[str, Running], key: str, line: str, tag: str, until: float, seen: Seen
) -> None:
    """One answer after the other into a segment that nobody else uses, until its score shows it."""
    collector = await http.Connection.open(running["collector"].port)
    scorer = await http.Connection.open(running["scorer"].port)
    ask = http.get(f"/v1/scores?policy=all&window=7d&segment=product_line:{line}", key)
    count = await _count(scorer, ask)
    dice = random.Random(line)
    for number in itertools.count():
        if time.perf_counter() > until:
            break
        who = f"{tag}-{line}-{number}"
        body = posts.answer_body(response_id=who, customer=who, score=9, comment="", line=line)
        started = time.perf_counter()
        status, _ = await collector.request(posts.json_request("/v1/responses", key, body))
        if status != 202:
            raise Failed(f"the collector answered with {status}")
        while await _count(scorer, ask) <= count:
            if time.perf_counter() > started + http.TIMEOUT_SECONDS:
                raise Failed(f"an answer is not visible after {http.TIMEOUT_SECONDS} s")
            await asyncio.sleep(_POLL_SECONDS)
        seen.visible.append((time.perf_counter() - started) * 1000)
        count += 1
        await asyncio.sleep(dice.random() * 0.05)
    collector.close()
    scorer.close()


async def _count(scorer: http.Connection, ask: bytes) -> int:
    status, body = await scorer.request(ask)
    if status != 200:
        raise Failed(f"the scorer answered with {status}: {body.decode()}")
    return int(orjson.loads(body)["n"] or 0)
