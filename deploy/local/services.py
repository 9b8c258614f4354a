"""The four services as child processes, and the environment that they are given."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from deploy.local import ports
from deploy.local.errors import LocalStackError
from deploy.local.home import DEMO_ALERTS_SECRET, PROJECT, SERVICES, Home
from deploy.local.part import ChildPart
from deploy.local.process import ChildProcess, wait_until
from shared.kafka.log_identity import ADOPT

STOP_GRACE_SECONDS = 12
PORT_REMEDY = "Stop that process, or set CLOSELOOP_PORT to another first port."


class ServiceProcess(ChildPart):
    """One service, ready when its `/readyz` says so."""

    def __init__(
        self, name: str, *, home: Home, environment: Mapping[str, str], command: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self.url = home.url(name)
        self._port = home.port(name)
        self._environment = environment
        self._command = command or (sys.executable, "-m", f"services.{name}", "serve")
        self._process = ChildProcess(name, log=home.log(name), pid_file=home.pid_file(name))

    def start(self) -> None:
        """Start it; LocalStackError if somebody else has its port."""
        self._process.end_leftover()
        ports.require_free(self._port, self.name, remedy=PORT_REMEDY)
        self._process.spawn(self._command, env=self._environment, cwd=PROJECT)

    def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Block until `/readyz` is 200, or only an operator's decision is missing (see `undecided`).

        LocalStackError with what is not ready otherwise.
        """
        settled = wait_until(
            lambda: self.pid is None or self.is_ready() or bool(self.undecided()),
            timeout_seconds=timeout_seconds,
        )
        if self.pid is None:
            raise LocalStackError(f"{self.name} ended while starting", remedy=f"Its log: {self.log}")
        if not settled:
            raise LocalStackError(
                f"{self.name} is not ready after {timeout_seconds:.0f} s: {probe(f'{self.url}/readyz')[1]}",
                remedy=f"Its log: {self.log}",
            )

    def is_ready(self) -> bool:
        """Whether `/readyz` is 200 now."""
        # While it imports its code nobody listens: to find that out by HTTP takes the CPU that it needs.
        return ports.answers(ports.LOOPBACK, self._port) and probe(f"{self.url}/readyz")[0]

    def undecided(self) -> list[str]:
        """Why the service waits for `closeloop topics adopt`; empty when it does not, or for more."""
        if not ports.answers(ports.LOOPBACK, self._port):
            return []
        return undecided(probe(f"{self.url}/readyz")[1])

    def stop(self) -> None:
        """SIGTERM, wait for a graceful stop, then SIGKILL."""
        self._process.stop(STOP_GRACE_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def undecided(body: object) -> list[str]:
    """What a `/readyz` body asks of an operator, if nothing else is missing: no restart would help."""
    parts = body.get("parts") if isinstance(body, dict) else None
    missing = [state for state in parts.values() if state != "ok"] if isinstance(parts, dict) else []
    return missing if all(ADOPT in state for state in missing) else []


def probe(url: str, *, timeout_seconds: float = 2) -> tuple[bool, object]:
    """Whether the address answers 200, and its JSON body (else why there is none)."""
    try:
        # Plain http on this machine: reading the certificates of all the world would cost 20 ms a probe.
        with httpx.Client(timeout=timeout_seconds, trust_env=False, verify=False) as client:  # noqa: S501 - as above
            answer = client.get(url)
    except httpx.HTTPError as error:
        return False, f"no answer ({type(error).__name__})"
    try:
        body = answer.json()
    except ValueError:
        body = f"status {answer.status_code}"
    return answer.status_code == 200, body


def service_environment(
    home: Home,
    *,
    kafka_bootstrap: str,
    database_url: str,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The caller's environment, and on top of it what every service is told."""
    # The services run in the project's folder: a relative path is meant from where the command was given.
    config = Path(environment.get("CLOSELOOP_CONFIG") or PROJECT / "closeloop.yaml").resolve()
    settings = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "CLOSELOOP_CONFIG": str(config),
        "CLOSELOOP_SECRET": home.secret(environment),
        "CLOSELOOP_ALERTS_URL": home.alerts_url(environment),
        "CLOSELOOP_ALERTS_SECRET": environment.get("CLOSELOOP_ALERTS_SECRET") or DEMO_ALERTS_SECRET,
        # The demo's webhooks go to this machine, which a server on a network must refuse.
        "CLOSELOOP_ALLOW_PRIVATE_TARGETS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    for service in SERVICES:
        settings[f"{service.upper()}_HOST"] = ports.LOOPBACK
        settings[f"{service.upper()}_PORT"] = str(home.port(service))
    return {**environment, **settings}
