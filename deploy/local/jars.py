"""The broker's jars: fetched once by exact coordinates, checked against the lock, kept in the cache."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.errors import LocalStackError

LOCK = Path(__file__).with_name("kafka-4.3.1.lock")
PROJECT = Path(__file__).resolve().parents[2]
FETCHES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


Fetch = Callable[[Jar, Path], Path]


def read_lock(path: Path = LOCK) -> list[Jar]:
    """The jars of a lock file: `group:artifact:version sha256` a line, `#` comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parse(line) for line in lines if line.strip() and not line.startswith("#")]


def _parse(line: str) -> Jar:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def cache_folder() -> Path:
    """Where the jars are kept: `$CLOSELOOP_CACHE/kafka-4.3.1`, by default below the project."""
    parent = os.environ.get("CLOSELOOP_CACHE") or PROJECT / ".closeloop" / "cache"
    return Path(parent).resolve() / LOCK.stem


def are_present(folder: Path, jars: Sequence[Jar]) -> bool:
    """A cheap look: the marker was written after every sum matched, and every file is there."""
    marker = folder / "complete"
    return (
        marker.exists()
        and marker.read_text(encoding="ascii") == fingerprint(jars)
        and all((folder / jar.file_name).is_file() for jar in jars)
    )


def ensure(folder: Path | None = None, *, lock: Path = LOCK, fetch: Fetch | None = None) -> Path:
    """The folder that holds every jar of the lock, fetching what is missing.

    Raises LocalStackError if a jar cannot be had or differs from the lock; the folder is then left
    without the marker, so that nothing starts from it.
    """
    target = folder or cache_folder()
    jars = read_lock(lock)
    if are_present(target, jars):
        return target
    target.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not _matches(target / jar.file_name, jar)]
    with tempfile.TemporaryDirectory(dir=target, prefix=".fetch-") as scratch:
        _fetch_all(missing, target, Path(scratch), fetch or _fetch_with_jgo)
    partial = target / f".complete.{os.getpid()}"
    partial.write_text(fingerprint(jars), encoding="ascii")
    partial.replace(target / "complete")
    return target


def try_fetching(jar: Jar) -> None:
    """Fetch one jar and throw it away: whether the registry can be reached. LocalStackError if not."""
    with tempfile.TemporaryDirectory() as scratch:
        _fetch_one(jar, Path(scratch), Path(scratch), _fetch_with_jgo)


def _fetch_all(jars: Sequence[Jar], target: Path, scratch: Path, fetch: Fetch) -> None:
    if not jars:
        return
    columns = (TextColumn("Fetching Kafka's jars"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(FETCHES_AT_ONCE) as pool,
    ):
        task = progress.add_task("jars", total=len(jars))
        futures = [pool.submit(_fetch_one, jar, target, scratch, fetch) for jar in jars]
        try:
            for future in as_completed(futures):
                future.result()
                progress.advance(task)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(jar: Jar, target: Path, scratch: Path, fetch: Fetch) -> None:
    try:
        fetched = fetch(jar, scratch)
    except Exception as error:
        raise LocalStackError(
            f"Kafka's jar {jar} could not be fetched: {_reason(error)}",
            remedy="Check the network and any proxy settings, then run the same command again: "
            "what has arrived is kept. Or set KAFKA_BOOTSTRAP_SERVERS to use a Kafka of your own.",
        ) from error
    checksum = _sha256(fetched)
    if checksum != jar.sha256:
        fetched.unlink(missing_ok=True)
        raise LocalStackError(
            f"Kafka's jar {jar} is not the one of the lock: SHA-256 {checksum}, expected {jar.sha256}",
            remedy="The registry or a proxy served another file. Do not use it; "
            "try again from another network.",
        )
    partial = scratch / f"{jar.file_name}.checked"
    shutil.copyfile(fetched, partial)
    partial.replace(target / jar.file_name)


def _fetch_with_jgo(jar: Jar, scratch: Path) -> Path:
    # Each jar by its own coordinate: resolving dependencies from two roots picks an old kafka-clients,
    # and the broker dies with NoSuchMethodError.
    from jgo.maven import MavenContext  # noqa: PLC0415 - a slow import, and only the first start needs it

    component = MavenContext(repo_cache=scratch / "repository").project(jar.group, jar.artifact)
    return Path(component.at_version(jar.version).artifact().resolve())


def _reason(error: Exception) -> str:
    # Every failure to connect is an OSError, with a text of many lines that says no more than its type.
    if isinstance(error, OSError):
        return f"the registry cannot be reached ({type(error).__name__})"
    return str(error) or type(error).__name__


def _matches(path: Path, jar: Jar) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(jars: Sequence[Jar]) -> str:
    return hashlib.sha256("\n".join(f"{jar} {jar.sha256}" for jar in jars).encode()).hexdigest()
