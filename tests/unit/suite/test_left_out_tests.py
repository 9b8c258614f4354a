"""A test that needs a program is left out where that is missing, and the end of the run says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import system_tools

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with podman and nothing else."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("bare_path")
class TestMissing:
    def test_is_what_is_not_on_the_path(self) -> None:
        assert system_tools.missing(["podman", "promtool", "amtool"]) == ["promtool", "amtool"]

    def test_a_program_that_nothing_installs_is_a_mistake_of_the_test(self) -> None:
        with pytest.raises(KeyError):
            system_tools.missing(["docker"])

    def test_a_library_is_looked_for_where_programs_find_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for library in ("libc.so.6", "libnobody.so.9"):
            monkeypatch.setitem(system_tools.PACKAGES, library, "package")

        assert system_tools.missing(["libc.so.6", "libnobody.so.9"]) == ["libnobody.so.9"]

    def test_is_installed_by_package(self) -> None:
        assert system_tools.packages(system_tools.missing(["podman", "promtool", "prometheus"])) == [
            "prometheus"
        ]


class TestTheEndOfTheRun:
    def test_names_what_was_left_out_and_the_line_that_brings_it(self) -> None:
        lines = list(
            system_tools.left_out(
                [
                    ("tests/a.py::test_one", "Skipped: " + system_tools.reason(["promtool", "amtool"])),
                    ("tests/a.py::test_two", "Skipped: " + system_tools.reason(["amtool"])),
                    ("tests/b.py::TestIt::test_alone", "Skipped: " + system_tools.reason(["chromium"])),
                    ("tests/c.py::test_mount", "Skipped: not on this machine: no right to mount"),
                ]
            )
        )

        assert lines == [
            "3 tests were left out, because this machine lacks amtool, chromium, promtool:",
            "  tests/a.py: 2 tests",
            "  tests/b.py::TestIt::test_alone",
            "On Debian this brings what they need: sudo apt-get install --no-install-recommends"
            " chromium prometheus prometheus-alertmanager",
        ]

    def test_is_silent_when_nothing_was(self) -> None:
        assert list(system_tools.left_out([("tests/c.py::test_mount", "Skipped: not on this machine")])) == []

    def test_says_it_in_a_run_that_passes(self, bare_path: Path) -> None:
        (bare_path / "podman").unlink()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/deploy/test_compose_file.py", "-k", "podman"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "TestExample::test_podman_compose_reads_the_file" in done.stdout
        assert system_tools.install_line(["podman"]) in done.stdout


def test_the_readme_has_the_line_that_brings_everything() -> None:
    assert f"\n{system_tools.install_line()}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
