"""The Dockerfile and what goes into its build. How to build it, and what was tried, is in docs/deploy.md."""

import re
import subprocess

import pytest

from tests.deploy.manifests import PROJECT, SERVICES

DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")


def image_faults(text: str) -> list[str]:
    faults = []
    last = text.rpartition("\nFROM ")[2]
    if not re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE):
        faults.append("runs as root, or as a name that Kubernetes cannot judge")
    if (
        "--require-hashes" not in text
        or "--only-binary :all:" not in text
        or "requirements/runtime.txt" not in text
    ):
        faults.append("installs something else than the lock says")
    if not all(
        re.match(r"\$\{PYTHON_IMAGE\}|packages", base)
        for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    ):
        faults.append("a stage has a base of its own: one digest must pin all")
    if not re.search(r"^ENTRYPOINT \[", last, re.MULTILINE):
        faults.append("a shell stands between the signal and the process")
    if "STOPSIGNAL SIGTERM" not in last:
        faults.append("is stopped by another signal")
    ports = re.search(r"^EXPOSE (.*)$", last, re.MULTILINE)
    if ports is None or ports[1].split() != ["8001", "8002", "8003", "8004"]:
        faults.append("exposes other ports than the services have")
    faults += [
        f"has no label {name}" for name in ("title", "version", "revision") if f"image.{name}=" not in last
    ]
    if re.search(r"^(ENV|ARG) .*(SECRET|PASSWORD|TOKEN)", text, re.MULTILINE):
        faults.append("carries a secret")
    return faults


def test_it_is_as_it_should_be() -> None:
    assert image_faults(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("USER 10001:10001", "USER closeloop"),
        ("USER 10001:10001", ""),
        ("--require-hashes", ""),
        ("FROM packages AS product", "FROM python:3.12 AS product"),
        ('ENTRYPOINT ["python", "-m"]', "ENTRYPOINT python -m"),
        ("STOPSIGNAL SIGTERM", ""),
        ("8003 8004", "8003"),
        ("org.opencontainers.image.revision", "revision"),
        ("PYTHONPATH=/app", "PYTHONPATH=/app\nENV CLOSELOOP_SECRET=abc"),
    ],
)
def test_a_mistake_is_found(part: str, instead: str) -> None:
    assert part in DOCKERFILE
    assert image_faults(DOCKERFILE.replace(part, instead)) != []


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [PROJECT / ".venv/bin/hadolint", "Dockerfile"],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_say_something() -> None:
    done = subprocess.run(
        [PROJECT / ".venv/bin/hadolint", "-"], cwd=PROJECT, check=False, capture_output=True, text=True,
        input="FROM docker.io/debian:latest\nRUN apt-get install curl\n",
    )  # fmt: skip

    assert done.returncode != 0


class TestContext:
    """`.dockerignore`: nothing goes in but what it names."""

    LINES = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    def test_everything_else_stays_out(self) -> None:
        assert next(line for line in self.LINES if line and not line.startswith("#")) == "*"

    def test_all_that_is_copied_goes_in(self) -> None:
        let_in = [line.removeprefix("!") for line in self.LINES if line.startswith("!")]
        copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)

        assert all((PROJECT / path).exists() for path in let_in)
        assert all(any(path == name or path.startswith(f"{name}/") for path in let_in) for name in copied)
        assert all(
            f"services.{name}" in DOCKERFILE or (PROJECT / "services" / name).is_dir() for name in SERVICES
        )
