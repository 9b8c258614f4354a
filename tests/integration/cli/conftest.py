"""`closeloop` in this process, as an operator runs it against the real Kafka and PostgreSQL."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from deploy.local.home import PROJECT


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def closeloop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command with this environment and nothing else of the product's."""

    def run(*arguments: str, **environment: str) -> Done:
        for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CLOSELOOP_SECRET", "CLOSELOOP_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("CLOSELOOP_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("CLOSELOOP_CONFIG", str(PROJECT / "closeloop.yaml"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["closeloop", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
