"""Show what several processes append to their log files, and keep those files small."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

LIMIT_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 256 * 1024

Show = Callable[[str, str], None]


class LogFollower:
    """Each `poll()` hands over the complete lines that are new since the last, oldest first."""

    def __init__(self, files: Mapping[str, Path], *, show: Show, limit_bytes: int = LIMIT_BYTES) -> None:
        self._files = dict(files)
        self._show = show
        self._limit_bytes = limit_bytes
        self._offsets = {name: path.stat().st_size if path.exists() else 0 for name, path in files.items()}

    def poll(self) -> None:
        """Show new lines of every file, then cut the ones that grew too long."""
        for name, path in self._files.items():
            if path.exists():
                self._read(name, path)
                self._bound(name, path)

    def _read(self, name: str, path: Path) -> None:
        if path.stat().st_size < self._offsets[name]:
            self._offsets[name] = 0
        with path.open("rb") as file:
            file.seek(self._offsets[name])
            chunk = file.read(CHUNK_BYTES)
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(chunk) == CHUNK_BYTES:  # one endless line: show it in pieces
            end = CHUNK_BYTES
        self._offsets[name] += end
        for line in chunk[:end].decode("utf-8", "replace").splitlines():
            self._show(name, line)

    def _bound(self, name: str, path: Path) -> None:
        """Copy and truncate: the process has the file open for appending and goes on at the new start.

        A line written between the copy and the cut is lost, which a log on a developer's disk can bear.
        """
        if self._offsets[name] <= self._limit_bytes:
            return
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as file:
            file.truncate(0)
        self._offsets[name] = 0
