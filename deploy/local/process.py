"""One child process with its log file and its pid file."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from deploy.local.errors import LocalStackError
from deploy.local.files import write_atomically

LEASH = Path(__file__).with_name("leash.py")
# psutil derives a start time from the boot time, which a clock step moves a little.
START_TIME_TOLERANCE_SECONDS = 2.0


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """The thread that starts every child: the kernel ties a child to the *thread* that made it,
    so it must live as long as the process."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class ChildProcess:
    """Starts, signals and stops one process. Not safe for concurrent use.

    The child leads its own session (a Ctrl-C reaches the supervisor only), appends its output to `log`,
    and gets `stop_signal` when its parent dies. `pid_file` lets the next start find one left over.
    """

    def __init__(
        self,
        name: str,
        *,
        log: Path,
        pid_file: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._pid_file = pid_file
        self._stop_signal = stop_signal
        self._user = user
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._popen.pid if self._popen is not None and self._popen.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """The code it ended with (negative: a signal); None while it runs or before the first start."""
        return self._popen.poll() if self._popen is not None else None

    def spawn(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> int:
        """Start the command, after ending a leftover of an earlier run; its pid."""
        if self.pid is not None:
            raise LocalStackError(f"{self.name} is already running as process {self.pid}")
        self.end_leftover()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._popen = _spawner().submit(self._spawn, command, env, cwd).result()
        self._remember(self._popen.pid)
        return self._popen.pid

    def _spawn(
        self, command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(int(self._stop_signal)), str(os.getpid())]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*leash, self._user or "-", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
            )

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended within the time."""
        if self._popen is None:
            return True
        try:
            self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, grace_seconds: float) -> None:
        """Ask it to end, wait that long, then SIGKILL. Works on a paused process too."""
        self.send(self._stop_signal)
        self.send(signal.SIGCONT)
        if not self.wait(grace_seconds):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait(10)

    def send(self, signum: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self._popen is not None:
            self._popen.send_signal(signum)

    def end_leftover(self) -> None:
        """End the process of an earlier supervisor that died without cleaning up, if it still runs."""
        process = recorded_process(self._pid_file)
        if process is None or process.pid == self.pid:
            return
        end(process, self._stop_signal)
        self._pid_file.unlink(missing_ok=True)

    def _remember(self, pid: int) -> None:
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._pid_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._pid_file, json.dumps({"pid": pid, "started": started}))


def recorded_process(pid_file: Path) -> psutil.Process | None:
    """The running process that the file names; None if that pid now belongs to another one.

    The start time is the identity: a pid alone is reused, at once in a restarted container.
    """
    try:
        record = json.loads(pid_file.read_text(encoding="utf-8"))
        process = psutil.Process(int(record["pid"]))
        same = abs(process.create_time() - float(record["started"])) <= START_TIME_TOLERANCE_SECONDS
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


def end(process: psutil.Process, stop_signal: signal.Signals, *, grace_seconds: float = 10) -> None:
    """Ask a process that is not our child to end, then SIGKILL it."""
    try:
        process.send_signal(stop_signal)
        process.resume()
        process.wait(grace_seconds)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(10)
    except psutil.NoSuchProcess:
        return


def wait_until(ready: Callable[[], bool], *, timeout_seconds: float, every_seconds: float = 0.05) -> bool:
    """Whether `ready()` came true within the time."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(every_seconds)
    return False
