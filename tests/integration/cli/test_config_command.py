"""`closeloop config check` as CI runs it, on the shipped file and on broken ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.local.home import PROJECT

Run = Callable[..., Any]


def test_the_shipped_file_is_ok(closeloop: Run) -> None:
    done = closeloop("config", "check", str(PROJECT / "closeloop.yaml"))

    assert done.code == 0
    assert "is ok" in done.out
    assert "Europe/Amsterdam" in done.out


def test_mistakes_of_every_service_are_printed_in_the_order_of_their_lines(
    closeloop: Run, tmp_path: Path
) -> None:
    path = tmp_path / "closeloop.yaml"
    path.write_text(
        "stores:\n  demo:\n    name: Demo\n    alerts:\n      rules:\n"
        "        - {name: vip, channels: [support]}\n    loyalty:\n      tiers:\n"
        "        - {name: Bronze, enter: 5, keep: 0}\n"
    )
    done = closeloop("config", "check", str(path), "--json")

    assert done.code == 1
    assert done.json["ok"] is False
    assert [mistake["line"] for mistake in done.json["mistakes"]] == [6, 9]
    assert "2 mistakes" in done.err


def test_a_file_that_no_service_could_read(closeloop: Run, tmp_path: Path) -> None:
    path = tmp_path / "closeloop.yaml"
    path.write_text("stores: [\n")
    done = closeloop("config", "check", str(path))

    assert done.code == 1
    assert f"{path}, line 2" in done.out
