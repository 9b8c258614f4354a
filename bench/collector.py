"""The collector beside a bare uvicorn application and a plain FastAPI service that does the same."""

import asyncio
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import machine
from bench.peers import tutorial
from bench.report import Figures, Goal, Part
from bench.stage import Failed, Running, Stage, run_module, wait_ready
from shared.events.topics import RESPONSES, Topic
from shared.kafka.topics import PARTITIONS, make

CONNECTIONS = (32, 128)
KARAPACE_PER_BARE = 33.0
"""CPU of Karapace's REST proxy for a record, as a multiple of the bare application's: measured once, on
another day (1,051 and 31 µs); it is not run here."""


def run(*, quick: bool) -> Part:
    """Rounds in which every server is loaded in turn; medians over the rounds, ratios within a round."""
    seconds, rounds = (2.0, 2) if quick else (4.0, 5)
    with Stage() as stage:
        url = stage.database("collector")
        key = stage.key(url)
        collector = stage.service("collector", url, COLLECTOR_RATE_LIMIT_PER_SECOND="0")
        asyncio.run(make(stage.bootstrap, [Topic(tutorial.TOPIC)]))
        servers = {
            "bare": stage.peer("bare"),
            "collector": collector,
            "tutorial": stage.peer("tutorial", KEY=key),
        }
        wait_ready(collector)
        for name, server in servers.items():
            _load(server, 32, 1.0, key, f"warm-{name}")
        on_topic = {"collector": RESPONSES.name, "tutorial": tutorial.TOPIC}
        before = {name: asyncio.run(records(stage.bootstrap, topic)) for name, topic in on_topic.items()}
        runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for number in range(rounds):
            for connections in CONNECTIONS:
                for name, server in servers.items():
                    tag = f"{name}-{connections}-{number}"
                    runs.setdefault((name, connections), []).append(
                        _load(server, connections, seconds, key, tag)
                    )
        after = {name: asyncio.run(records(stage.bootstrap, topic)) for name, topic in on_topic.items()}
        resident = {name: server.resident_mb()[0] for name, server in servers.items()}
    part = Part("collector")
    part.figures.append(_figures(runs, resident))
    part.goals += _goals(runs, resident["collector"])
    for name in on_topic:
        accepted = sum(
            run["accepted"] for (who, _), several in runs.items() if who == name for run in several
        )
        written = after[name] - before[name]
        part.checks[f"{name}: {accepted:,} answers with 202, {written:,} records on the topic"] = (
            accepted == written
        )
    refused = sum(sum(r["statuses"].values()) - r["accepted"] for several in runs.values() for r in several)
    part.checks[f"every request of every server was answered with 202 ({refused} were not)"] = refused == 0
    own = median(run["own_cpu_us"] for several in runs.values() for run in several)
    part.notes = [
        f"{rounds} rounds of {seconds:.0f} s; medians; a request of about 400 bytes of JSON, closed loop",
        f"the load generator shares the cores: {own:.0f} µs of CPU a request",
        "requests/s of the peers with Kafka include Kafka's own work on the same cores",
    ]
    return part


def _load(server: Running, connections: int, seconds: float, key: str, tag: str) -> dict[str, Any]:
    started, kernel = server.cpu_seconds(), machine.kernel_seconds(server.pid)
    result = run_module(
        "bench.load", server.port, connections, seconds, key, tag, timeout_seconds=seconds + 60
    )
    if not result["accepted"]:
        raise Failed(f"{server.name} accepted nothing: {result['statuses']} {result['refusal']}")
    microseconds_each = 1e6 / result["accepted"]
    return {
        **result,
        "cpu_us": (server.cpu_seconds() - started) * microseconds_each,
        "kernel_us": (machine.kernel_seconds(server.pid) - kernel) * microseconds_each,
    }


def _figures(runs: dict[tuple[str, int], list[dict[str, Any]]], resident: dict[str, float]) -> Figures:
    figures = Figures(
        "One JSON answer a request; collector and tutorial answer after Kafka's acks=all",
        (
            "server", "connections", "CPU µs / answer", "of it kernel", "times bare", "times tutorial",
            "requests/s", "p50 ms", "p99 ms", "RSS MB",
        ),
    )  # fmt: skip
    for (name, connections), several in runs.items():
        figures.rows.append(
            (
                name,
                connections,
                median(run["cpu_us"] for run in several),
                median(run["kernel_us"] for run in several),
                ratio(runs, name, "bare", connections),
                ratio(runs, name, "tutorial", connections),
                int(median(run["requests_a_second"] for run in several)),
                median(run["p50_ms"] for run in several),
                median(run["p99_ms"] for run in several),
                resident[name],
            )
        )
    return figures


def ratio(runs: dict[tuple[str, int], list[dict[str, Any]]], one: str, other: str, connections: int) -> float:
    """The median over the rounds of the ratio of CPU within a round."""
    pairs = zip(runs[one, connections], runs[other, connections], strict=True)
    return float(median(mine["cpu_us"] / its["cpu_us"] for mine, its in pairs))


def _goals(runs: dict[tuple[str, int], list[dict[str, Any]]], resident: float) -> list[Goal]:
    goals = []
    for connections in CONNECTIONS:
        bare = ratio(runs, "collector", "bare", connections)
        share = ratio(runs, "collector", "tutorial", connections)
        goals += [
            Goal(f"CPU an answer beside the bare app's, {connections} connections", 2.2, bare, "times"),
            Goal(f"CPU an answer beside the tutorial's, {connections} connections", 0.25, share, "times"),
        ]
    goals += [
        Goal(
            "CPU beside Karapace's (33 times bare, not run here)",
            0.1,
            ratio(runs, "collector", "bare", 32) / KARAPACE_PER_BARE,
            "times",
        ),
        Goal("p99 at 32 connections", 10, median(r["p99_ms"] for r in runs["collector", 32]), "ms"),
        Goal("resident after the load", 80, resident, "MB"),
    ]
    return goals


async def records(bootstrap: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    finally:
        await consumer.stop()
    return sum(ends.values())
