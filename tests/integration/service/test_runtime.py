"""A service starts in any order, says what it waits for, and ends in time whatever is broken."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.local import ports
from deploy.local.process import wait_until
from deploy.local.stack import LocalStack
from shared.db import migrations

PROJECT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("toy_service.py")


class Service:
    """The toy service in a process of its own."""

    def __init__(
        self, stack: LocalStack, output: Path, *arguments: str, database_url: str | None = None
    ) -> None:
        self.port = ports.choose()
        self._output = output
        environment = os.environ | {
            "DATABASE_URL": database_url or stack.postgres.url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka.bootstrap,
            "CLOSELOOP_SECRET": "0" * 32,
            "CLOSELOOP_CONFIG": str(PROJECT / "closeloop.yaml"),
            "PYTHONPATH": str(PROJECT),
        }
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.port), *arguments],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def probe(self, name: str) -> tuple[int, dict[str, str]]:
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.port}/{name}", timeout=5, trust_env=False, verify=False
            )
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json()["parts"]

    def is_ready(self) -> bool:
        return self.probe("readyz")[0] == 200

    def says(self, part: str, words: str) -> bool:
        return words in self.probe("readyz")[1].get(part, "")

    def terminate(self) -> tuple[int, float]:
        """The exit code and how long it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        return code, time.monotonic() - started

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._output.read_text().splitlines()]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def service(stack: LocalStack, bootstrap: str, database_url: str, output: Path) -> Iterator[Service]:
    service = Service(stack, output)
    yield service
    service.process.kill()
    service.process.wait()


@pytest.fixture
def ready(service: Service) -> Service:
    assert wait_until(service.is_ready, timeout_seconds=60), service.lines
    return service


class TestStarting:
    def test_waits_for_each_part_and_names_it(
        self, stack: LocalStack, bootstrap: str, database_url: str, output: Path
    ) -> None:
        stack.postgres.kill()
        stack.kafka.kill()
        service = Service(stack, output)
        try:
            assert wait_until(lambda: service.says("boot", "waiting for database"), timeout_seconds=60)
            assert service.probe("livez")[0] == 200
            stack.postgres.start()
            stack.postgres.wait_ready()
            assert wait_until(lambda: service.says("boot", "waiting for topics"), timeout_seconds=60)
            assert service.probe("readyz")[1]["kafka"] == "not connected"
            stack.kafka.start()
            stack.kafka.wait_ready()
            assert wait_until(service.is_ready, timeout_seconds=60), service.probe("readyz")
            code, _ = service.terminate()
        finally:
            service.process.kill()

        assert code == 0
        assert all({"event", "level", "service", "time"} <= set(line) for line in service.lines)

    def test_reads_nothing_before_it_has_looked(
        self, stack: LocalStack, bootstrap: str, database_url: str, output: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "there"
        service = Service(stack, output, f"look={file}")
        try:
            assert wait_until(lambda: service.says("boot", "waiting for a look"), timeout_seconds=60)
            time.sleep(5)  # that nothing is read cannot be awaited otherwise; joining takes 3 s
            assert service.says("consumer", "joining")
            file.write_text("")
            assert wait_until(service.is_ready, timeout_seconds=60), service.probe("readyz")
        finally:
            service.process.kill()
            service.process.wait()

    def test_ends_with_1_when_a_loop_fails(
        self, stack: LocalStack, bootstrap: str, database_url: str, output: Path
    ) -> None:
        service = Service(stack, output, "fail")
        assert service.process.wait(60) == 1

        ended = next(line for line in service.lines if line["event"] == "loop.ended")
        assert (ended["task"], ended["error_type"]) == ("failing", "KeyError")
        assert "somebody" not in output.read_text()

    async def test_ends_with_1_and_the_remedy_when_nobody_has_migrated(
        self, stack: LocalStack, bootstrap: str, output: Path
    ) -> None:
        connection = await asyncpg.connect(stack.postgres.url)
        try:
            await connection.execute("CREATE DATABASE of_nobody_yet")
        finally:
            await connection.close()
        empty = stack.postgres.url.rpartition("/")[0] + "/of_nobody_yet"
        service = Service(stack, output, database_url=empty)
        assert await asyncio.to_thread(service.process.wait, 60) == 1

        (told,) = [line for line in service.lines if line["event"] == "schema.behind"]
        needed = migrations.revisions("shared.access")[-1]
        assert told["reason"] == (
            f"schema access is at nothing, this code needs {needed}: run `closeloop migrate`"
        )


class TestStopping:
    def test_ends_with_0(self, ready: Service) -> None:
        code, took = ready.terminate()

        assert code == 0
        assert took < 5

    @pytest.mark.parametrize("fault", ["postgres frozen", "kafka frozen", "postgres dead", "kafka dead"])
    def test_ends_within_ten_seconds_whatever_is_away(
        self, ready: Service, stack: LocalStack, fault: str
    ) -> None:
        name, state = fault.split()
        part = stack.postgres if name == "postgres" else stack.kafka
        part.pause() if state == "frozen" else part.kill()
        try:
            assert wait_until(lambda: not ready.is_ready(), timeout_seconds=30)
            parts = ready.probe("readyz")[1]
            alive = ready.probe("livez")[0]
            code, took = ready.terminate()
        finally:
            if state == "frozen":
                part.resume()
            else:
                part.start()
            part.wait_ready()

        assert parts[name] != "ok"
        assert alive == 200
        assert code == 0
        assert took < 10

    def test_at_once_while_it_still_waits_for_the_database(
        self, stack: LocalStack, bootstrap: str, database_url: str, output: Path
    ) -> None:
        stack.postgres.pause()
        try:
            service = Service(stack, output)
            assert wait_until(lambda: service.says("boot", "waiting for database"), timeout_seconds=60)
            code, took = service.terminate()
        finally:
            stack.postgres.resume()

        assert code == 0
        assert took < 10
