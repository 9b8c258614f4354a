"""`closeloop status` and `closeloop doctor`, run as an operator runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from deploy.local import ports
from deploy.local.home import PROJECT, Home


def closeloop(
    *arguments: str, home: Path, port: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=PROJECT,
        env=os.environ
        | {"CLOSELOOP_HOME": str(home), "CLOSELOOP_PORT": str(port or ports.choose())}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestStatus:
    def test_says_what_to_do_when_nothing_runs(self, tmp_path: Path) -> None:
        done = closeloop("status", home=tmp_path)

        assert done.returncode == 1
        assert "not running" in done.stderr
        assert "make run" in done.stderr
        assert "Traceback" not in done.stderr

    def test_is_json_for_machines_also_then(self, tmp_path: Path) -> None:
        done = closeloop("status", "--json", home=tmp_path)

        assert done.returncode == 1
        assert json.loads(done.stdout)["healthy"] is False

    def test_names_each_part_that_does_not_answer(self, tmp_path: Path) -> None:
        services = ("collector", "scorer", "segmenter", "notifier")
        demo = {
            "urls": dict.fromkeys(services, "http://127.0.0.1:1"),
            "kafka_bootstrap": "127.0.0.1:1",
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "pids": {},
        }
        (tmp_path / "demo.json").write_text(json.dumps(demo))
        done = closeloop("status", "--json", home=tmp_path)

        assert done.returncode == 1
        answer = json.loads(done.stdout)
        assert answer["urls"] == demo["urls"]
        assert set(answer["health"]) == {"kafka", "postgres", *services}
        assert not any(part["healthy"] for part in answer["health"].values())


class TestDoctor:
    def test_names_the_port_that_is_taken_and_what_to_do(self, tmp_path: Path) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = closeloop("doctor", "--json", home=tmp_path, port=port)

        finding = next(one for one in json.loads(done.stdout) if one["check"] == "ports")
        assert done.returncode == 1
        assert not finding["ok"]
        assert f"Port {port}" in finding["found"]
        assert str(os.getpid()) in finding["found"]
        assert "CLOSELOOP_PORT" in finding["remedy"]

    def test_names_who_took_the_port_of_a_service_of_the_running_copy(self, tmp_path: Path) -> None:
        """It died and cannot come back: the supervisor tries again and again."""
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            home = Home(tmp_path, port)
            with home.locked():
                by_a_stranger = closeloop("doctor", "--json", home=tmp_path, port=port)
                us = {"pid": os.getpid(), "started": psutil.Process().create_time()}
                home.pid_file("collector").parent.mkdir()
                home.pid_file("collector").write_text(json.dumps(us))
                by_the_service = closeloop("doctor", "--json", home=tmp_path, port=port)

        found = [
            next(one for one in json.loads(done.stdout) if one["check"] == "ports")
            for done in (by_a_stranger, by_the_service)
        ]
        assert not found[0]["ok"]
        assert f"Port {port}" in found[0]["found"]
        assert str(os.getpid()) in found[0]["found"]
        assert (found[1]["ok"], found[1]["found"]) == (True, "in use by this copy")

    def test_finds_a_broker_and_a_database_gone(self, tmp_path: Path) -> None:
        done = closeloop(
            "doctor",
            "--json",
            home=tmp_path,
            KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
            DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        )
        wrong = {one["check"] for one in json.loads(done.stdout) if not one["ok"]}

        assert {"kafka", "postgres"} <= wrong

    def test_a_port_that_is_no_number_is_one_sentence(self, tmp_path: Path) -> None:
        done = closeloop("doctor", home=tmp_path, CLOSELOOP_PORT="eight")

        assert done.returncode == 1
        assert "CLOSELOOP_PORT is 'eight'" in done.stderr
        assert "Traceback" not in done.stderr
