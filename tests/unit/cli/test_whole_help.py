import subprocess
import sys
import tomllib
from pathlib import Path


def test_the_help_leaves_out_what_production_has_not_installed(tmp_path: Path) -> None:
    (tmp_path / "psutil.py").write_text('raise ModuleNotFoundError("not installed", name="psutil")\n')

    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"],
        env={"PYTHONPATH": f"{tmp_path}:."},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "migrate" in done.stdout
    assert "Start Kafka" not in done.stdout


def test_the_version_is_the_one_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "--version"], check=False, capture_output=True, text=True
    )

    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert (done.returncode, done.stdout) == (0, f"{project['version']}\n"), done.stderr
