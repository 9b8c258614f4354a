"""Where one copy of the product keeps its data and which ports it has."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.files import write_atomically
from deploy.local.ports import LOOPBACK

PROJECT = Path(__file__).resolve().parents[2]
SERVICES = ("collector", "scorer", "segmenter", "notifier")
DEFAULT_PORT = 8001
# The demo's alerts are received on the port that is so much higher than the first.
ALERTS_PORT_ABOVE = 8
# Signs alerts on this machine only; the example of the Standard Webhooks specification.
DEMO_ALERTS_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published example


@dataclass(frozen=True, slots=True)
class Home:
    """`$CLOSELOOP_HOME` and `$CLOSELOOP_PORT`; two copies with different ones run side by side."""

    root: Path
    first_port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Home":
        """Raises LocalStackError if the port makes no sense."""
        root = Path(environment.get("CLOSELOOP_HOME") or PROJECT / ".closeloop").expanduser().resolve()
        text = environment.get("CLOSELOOP_PORT") or str(DEFAULT_PORT)
        if not text.isdecimal() or not 1 <= int(text) <= 65_535 - ALERTS_PORT_ABOVE:
            raise LocalStackError(
                f"CLOSELOOP_PORT is {text!r}", remedy="Set it to a port number, such as 8001."
            )
        return cls(root, int(text))

    @property
    def demo_file(self) -> Path:
        """There while the product is up: addresses, keys, pids."""
        return self.root / "demo.json"

    @property
    def last_demo_file(self) -> Path:
        """The same of the last run, so that keys outlive a restart."""
        return self.root / "demo.last.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "up.lock"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self.root / "run" / f"{name}.json"

    def port(self, service: str) -> int:
        return self.first_port + SERVICES.index(service)

    def url(self, service: str) -> str:
        return f"http://{LOOPBACK}:{self.port(service)}"

    def alerts_url(self, environment: Mapping[str, str] = os.environ) -> str:
        """Where the demo store's alerts go, and where `closeloop listen` waits for them."""
        default = f"http://{LOOPBACK}:{self.first_port + ALERTS_PORT_ABOVE}/alerts"
        return environment.get("CLOSELOOP_ALERTS_URL") or default

    def secret(self, environment: Mapping[str, str] = os.environ) -> str:
        """The root secret: the environment's, else 32 random bytes as hex, made once and kept."""
        if configured := environment.get("CLOSELOOP_SECRET"):
            return configured
        file = self.root / "secret"
        if not file.exists():
            write_atomically(file, secrets.token_hex(32))
        return file.read_text(encoding="ascii").strip()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home; LocalStackError if a running `closeloop up` has it. The kernel frees the lock."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.lock_file.open("a+", encoding="ascii")
        except OSError as error:
            raise LocalStackError(
                f"{self.root} cannot be written: {error.strerror}",
                remedy="Make it writable, or set CLOSELOOP_HOME to another folder.",
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LocalStackError(
                    f"Closeloop is already running from {self.root} (process {file.read().strip() or '?'})",
                    remedy="Stop that one with Ctrl-C, or set CLOSELOOP_HOME and CLOSELOOP_PORT "
                    "for a second copy.",
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def holder(self) -> int | None:
        """The pid of the `closeloop up` that holds this home now; None if nobody does."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open("r+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text.isdecimal() else 0
        return None
