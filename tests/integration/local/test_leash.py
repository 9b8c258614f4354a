"""Children die with their parent, also when that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.process import LEASH, ChildProcess, recorded_process, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = """
import subprocess, sys, os, time
child = subprocess.Popen([sys.executable, sys.argv[1], "15", str(os.getpid()), "-", *sys.argv[2:]])
print(child.pid, flush=True)
time.sleep(60)
"""


def child_of(tmp_path: Path, name: str = "child") -> ChildProcess:
    return ChildProcess(name, log=tmp_path / f"{name}.log", pid_file=tmp_path / f"{name}.json")


class TestLeash:
    def test_the_child_ends_when_its_parent_is_killed(self) -> None:
        command = [sys.executable, "-c", PARENT, str(LEASH), *SLEEP]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            child = psutil.Process(int(parent.stdout.readline()))
            # Between two programs a process has no command line at all.
            assert wait_until(lambda: "time.sleep(60)" in " ".join(child.cmdline()), timeout_seconds=5)
            parent.send_signal(signal.SIGKILL)

        assert wait_until(lambda: not child.is_running() or child.status() == "zombie", timeout_seconds=5)

    def test_the_child_does_not_start_when_its_parent_is_already_gone(self) -> None:
        done = subprocess.run([sys.executable, str(LEASH), "15", "1", "-", *SLEEP], check=False, timeout=10)

        assert done.returncode == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="not on this machine: only root can change the user")
    def test_another_account_may_start_what_lies_where_only_root_can_enter(self, tmp_path: Path) -> None:
        """As below /root. `test -x` asks by access(2), as PostgreSQL does of its own programs."""
        folder = tmp_path / "of-root"
        folder.mkdir(mode=0o700)
        program = folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

        def code(*command: str) -> int:
            leash = [sys.executable, str(LEASH), "15", str(os.getpid()), "nobody"]
            return subprocess.run([*leash, *command], check=False, timeout=10).returncode

        assert code("/usr/bin/test", "-x", str(program)) == 0
        assert code(str(program)) == 0


class TestChildProcess:
    def test_outlives_the_thread_that_asked_for_it(self, tmp_path: Path) -> None:
        from threading import Thread

        child = child_of(tmp_path)
        starter = Thread(target=child.spawn, args=(SLEEP,))
        starter.start()
        starter.join()
        time.sleep(0.3)
        running = child.pid is not None
        child.stop(5)

        assert running

    def test_a_leftover_is_ended_before_the_next_start(self, tmp_path: Path) -> None:
        first, second = child_of(tmp_path), child_of(tmp_path)
        left_over = first.spawn(SLEEP)
        second.spawn(SLEEP)
        first.wait(5)
        gone = not psutil.pid_exists(left_over)
        second.stop(5)

        assert gone

    def test_a_pid_that_another_process_has_now_is_left_alone(self, tmp_path: Path) -> None:
        record = tmp_path / "child.json"
        record.write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')

        assert recorded_process(record) is None

    def test_a_paused_child_can_be_stopped(self, tmp_path: Path) -> None:
        child = child_of(tmp_path)
        child.spawn(SLEEP)
        child.send(signal.SIGSTOP)
        child.stop(5)

        assert child.exit_code == -signal.SIGTERM

    def test_a_child_that_ignores_the_signal_is_killed(self, tmp_path: Path) -> None:
        child = child_of(tmp_path)
        deaf = "signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
        child.spawn([sys.executable, "-c", f"import signal, time; {deaf}; time.sleep(60)"])
        assert wait_until(lambda: b"deaf" in child.log.read_bytes(), timeout_seconds=5)
        child.stop(0.3)

        assert child.exit_code == -signal.SIGKILL
