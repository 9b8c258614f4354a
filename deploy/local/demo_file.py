"""`demo.json`: what a script needs, there while everything is ready; and its credentials, which stay."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from deploy.local.files import write_atomically
from deploy.local.home import SERVICES, Home


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to get into the demo store. Shown nowhere else: the database keeps hashes."""

    store: str
    public_key: str
    secret_key: str
    user: str
    password: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The credentials in a `demo.json`; None if it is gone or not one."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: str(stored[name]) for name in cls.__slots__})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def known_credentials(home: Home) -> Credentials | None:
    """Those of the run before, also when that one was killed."""
    return Credentials.read(home.demo_file) or Credentials.read(home.last_demo_file)


def publish(
    home: Home,
    *,
    credentials: Credentials,
    kafka_bootstrap: str,
    database_url: str,
    pids: Mapping[str, int],
) -> None:
    """Write `demo.json`: its presence says that everything is ready."""
    content = {
        "urls": {service: home.url(service) for service in SERVICES},
        **asdict(credentials),
        "kafka_bootstrap": kafka_bootstrap,
        "database_url": database_url,
        "pids": dict(pids),
    }
    write_atomically(home.demo_file, json.dumps(content, indent=2) + "\n")


def withdraw(home: Home) -> None:
    """Take `demo.json` away, keeping its credentials for the next start."""
    if Credentials.read(home.demo_file) is not None:
        home.demo_file.replace(home.last_demo_file)
    home.demo_file.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """The content of `demo.json`; None while the product is not up."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
