"""A running copy of the product, with stand-ins for engines and services, driven as an operator would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local import ports
from deploy.local.home import PROJECT, SERVICES
from deploy.local.process import wait_until
from deploy.local.supervisor import Backoff

PROGRAM = Path(__file__).with_name("copy_of_the_product.py")


class Copy:
    """The program in a process of its own, with its home."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.environment = os.environ | {
            "CLOSELOOP_HOME": str(home),
            "CLOSELOOP_PORT": str(port),
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "PYTHONPATH": str(PROJECT),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with (self.home.parent / "output").open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert wait_until(lambda: self.demo is not None, timeout_seconds=30), self.output

    def end(self, signum: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(signum)
        return self.process.wait(30)

    @property
    def output(self) -> str:
        return (self.home.parent / "output").read_text()

    @property
    def demo(self) -> dict[str, Any] | None:
        file = self.home / "demo.json"
        return json.loads(file.read_text()) if file.exists() else None

    def pids(self) -> dict[str, int]:
        assert self.demo is not None
        return self.demo["pids"]

    def run_again(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROGRAM)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def free_row() -> int:
    """A first port with four free ones in a row."""
    return next(
        first
        for first in iter(ports.choose, None)
        if all(ports.is_free(first + i) for i in range(len(SERVICES)))
    )


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path / "home", free_row())
    copy.start()
    yield copy
    assert copy.process is not None
    if copy.process.poll() is None:
        copy.end()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


class TestARunningCopy:
    def test_writes_what_a_script_needs_for_its_owner_only(self, copy: Copy) -> None:
        assert copy.demo is not None
        assert set(copy.demo["urls"]) == set(copy.pids()) == set(SERVICES)
        assert copy.demo["kafka_bootstrap"] == "127.0.0.1:1"
        assert (copy.home / "demo.json").stat().st_mode & 0o777 == 0o600

    def test_starts_a_killed_part_again_and_keeps_its_pid_true(self, copy: Copy) -> None:
        before = copy.pids()
        os.kill(before["scorer"], signal.SIGKILL)
        assert wait_until(lambda: copy.pids()["scorer"] != before["scorer"], timeout_seconds=10), copy.output

        after = copy.pids()
        assert not gone(after["scorer"])
        assert {name: after[name] for name in after if name != "scorer"} == {
            name: before[name] for name in before if name != "scorer"
        }
        assert "scorer ended (SIGKILL)" in copy.output

    def test_refuses_a_second_start_on_the_same_home(self, copy: Copy) -> None:
        second = copy.run_again()

        assert second.returncode == 1
        assert "already running" in second.stderr
        assert "CLOSELOOP_HOME" in second.stderr
        assert copy.demo is not None

    def test_refuses_a_port_that_somebody_else_has(self, copy: Copy, tmp_path: Path) -> None:
        first_port = int(copy.environment["CLOSELOOP_PORT"])
        second = Copy(tmp_path / "other", first_port).run_again()

        assert second.returncode == 1
        assert f"Port {first_port}" in second.stderr
        assert "CLOSELOOP_PORT" in second.stderr

    def test_runs_beside_a_second_copy(self, copy: Copy, tmp_path: Path) -> None:
        (tmp_path / "beside").mkdir()
        second = Copy(tmp_path / "beside" / "home", free_row())
        second.start()

        assert not set(second.pids().values()) & set(copy.pids().values())
        assert second.end() == 0

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_stops_every_part_and_takes_demo_json_away(self, copy: Copy, signum: int) -> None:
        pids = copy.pids()

        assert copy.end(signum) == 0
        assert all(gone(pid) for pid in pids.values())
        assert copy.demo is None

    def test_keeps_its_credentials_over_a_restart(self, copy: Copy) -> None:
        assert copy.demo is not None
        before = copy.demo
        copy.end()
        copy.start()

        assert {"public_key", "secret_key", "user", "password"} <= before.keys()
        assert {**copy.demo, "pids": {}} == {**before, "pids": {}}

    def test_its_parts_die_with_it_and_it_starts_again(self, copy: Copy) -> None:
        pids = copy.pids()
        copy.end(signal.SIGKILL)
        assert wait_until(lambda: all(gone(pid) for pid in pids.values()), timeout_seconds=10)
        (copy.home / "demo.json").unlink()
        copy.start()

        assert not set(copy.pids().values()) & set(pids.values())


class TestBackoff:
    def test_doubles_up_to_its_limit(self) -> None:
        backoff = Backoff(first_seconds=0.2, longest_seconds=5)

        assert [backoff.after(1) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]

    def test_begins_again_after_a_stable_while(self) -> None:
        backoff = Backoff(first_seconds=0.2, stable_seconds=30)
        backoff.after(1), backoff.after(1)

        assert backoff.after(31) == 0.2
