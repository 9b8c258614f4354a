"""What `closeloop erase` refuses before it sends anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.erase import Person

ROOT = Path(__file__).resolve().parents[3]


def erase(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "erase", *arguments],
        cwd=ROOT,
        env=os.environ | {"CLOSELOOP_CONFIG": str(ROOT / "tests/e2e/closeloop.yaml"),
                          "CLOSELOOP_ALERTS_URL": "http://x", "CLOSELOOP_SLACK_URL": "http://x",
                          "CLOSELOOP_ALERTS_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip


class TestErase:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("--store", "demo"), "Nobody is named"),
            (("--store", "demo", "--customer-id", "  ", "--email", " "), "Nobody is named"),
            (("--store", "demo", "--email", "ada"), "The e-mail address has no @"),
            (("--store", "nowhere", "--customer-id", "c-1"), "has no store 'nowhere'"),
        ],
    )
    def test_says_what_is_missing(self, arguments: tuple[str, ...], sentence: str) -> None:
        done = erase(*arguments)
        assert done.returncode == 1
        assert sentence in done.stderr

    def test_looks_for_an_address_also_as_older_releases_stored_it(self) -> None:
        composed, decomposed = Person("demo", "jos\u00e9@b.example", (" c-1",)), "jose\u0301@b.example"
        assert composed.words == ['"id":" c-1"', '"id": " c-1"', composed.email, decomposed]

    def test_needs_a_store(self) -> None:
        assert erase("--customer-id", "c-1").returncode == 2
