"""How each part of a running copy is doing, asked from outside."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from deploy.local.home import SERVICES
from deploy.local.kafka_probe import alive_brokers
from deploy.local.services import probe

TIMEOUT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part; `detail` says what is wrong, or holds what the part reports of itself."""

    healthy: bool
    detail: dict[str, Any] = field(default_factory=dict)


async def check_all(demo: dict[str, Any]) -> dict[str, PartHealth]:
    """Every part of `demo.json` at once, within a few seconds."""
    checks = {
        "kafka": asyncio.to_thread(kafka, demo["kafka_bootstrap"]),
        "postgres": postgres(demo["database_url"]),
        **{name: asyncio.to_thread(service, demo["urls"][name]) for name in SERVICES},
    }
    return dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))


def kafka(bootstrap: str) -> PartHealth:
    """Whether one of the addresses (`host:port,host:port`) answers as a broker."""
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if brokers := alive_brokers(host, int(port or 0), timeout_seconds=TIMEOUT_SECONDS):
            return PartHealth(True, {"brokers": brokers})
    return PartHealth(False, {"error": f"no broker answers at {bootstrap}"})


async def postgres(url: str) -> PartHealth:
    """Whether the database takes a query."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=TIMEOUT_SECONDS)
            try:
                version = await connection.fetchval("SHOW server_version")
            finally:
                connection.terminate()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        return PartHealth(False, {"error": f"{type(error).__name__}: {error}".rstrip(": ")})
    return PartHealth(True, {"version": version})


def service(url: str) -> PartHealth:
    """Liveness and readiness of one service, with what is not ready."""
    live, live_body = probe(f"{url}/livez", timeout_seconds=TIMEOUT_SECONDS)
    ready, ready_body = probe(f"{url}/readyz", timeout_seconds=TIMEOUT_SECONDS)
    detail: dict[str, Any] = {"live": live, "ready": ready}
    if not live:
        detail["not_live"] = live_body
    if not ready:
        detail["not_ready"] = _not_ok(ready_body)
    return PartHealth(live and ready, detail)


def _not_ok(body: object) -> object:
    """Of a `/readyz` body only what is not ready, when it has the form of `{part: state}`."""
    if not isinstance(body, dict):
        return body
    parts = next((value for value in body.values() if isinstance(value, dict)), body)
    return {name: state for name, state in parts.items() if state not in ("ok", True)} or body
