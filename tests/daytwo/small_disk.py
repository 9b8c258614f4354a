"""A folder on a disk of its own that is full at will."""

import os
import subprocess
from pathlib import Path
from typing import Self

import pytest

ROOM = "4g"
"""Of which only what is written takes memory."""


class SmallDisk:
    """A tmpfs; skips the test where it may not be mounted (that takes root).

    "Full" is a size of what is used at that moment, so no memory is spent on filling it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        if _ran("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0755", "closeloop-test", str(self.folder)):
            return self
        return pytest.skip("not on this machine: a disk of its own takes the right to mount one")

    def __exit__(self, *_: object) -> None:
        assert _ran("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """No byte more fits from now on; what is freed may be used again."""
        for _ in range(100):  # somebody may write between the look and the change
            disk = os.statvfs(self.folder)
            used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            if self._resize(str(used)):
                return
        raise AssertionError(f"{self.folder} does not become full")

    def make_room(self) -> None:
        assert self._resize(ROOM)

    def _resize(self, size: str) -> bool:
        return _ran("mount", "-o", f"remount,size={size}", str(self.folder))


def _ran(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
