"""The programs and libraries that tests need and no Python package brings: the one list of them.

`.ci/run` asks it what to install, before there is an environment: standard library only.
"""

import ctypes
import shutil
from collections.abc import Iterable, Iterator

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "curl": "curl",
    "libatomic.so.1": "libatomic1",  # of the Node.js in playwright's package
    "openssl": "openssl",
    "podman": "podman",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
}
"""Each program or library, and the package of Debian that has it."""

_REASON = "not installed: "


def missing(tools: Iterable[str] = PACKAGES) -> list[str]:
    """Those of them that this machine has not. KeyError for one that nothing here installs."""
    return [tool for tool in tools if PACKAGES[tool] and not _is_here(tool)]


def _is_here(tool: str) -> bool:
    if ".so" not in tool:
        return shutil.which(tool) is not None
    try:
        ctypes.CDLL(tool)
    except OSError:
        return False
    return True


def packages(tools: Iterable[str] = PACKAGES) -> list[str]:
    return sorted({PACKAGES[tool] for tool in tools})


def install_line(tools: Iterable[str] = PACKAGES) -> str:
    """What brings them to a Debian."""
    return f"sudo apt-get install --no-install-recommends {' '.join(packages(tools))}"


def reason(tools: Iterable[str]) -> str:
    """Why a test is left out; `told` reads it again."""
    return _REASON + ", ".join(tools)


def told(reason: str) -> list[str]:
    """What such a reason names; nothing for any other."""
    _, found, tools = reason.partition(_REASON)
    return tools.split(", ") if found else []


def left_out(skipped: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Of all (test, reason) that were skipped, those for want of one: a line a file, and the remedy."""
    lacking: set[str] = set()
    files: dict[str, list[str]] = {}
    for test, why in skipped:
        if tools := told(why):
            lacking.update(tools)
            files.setdefault(test.partition("::")[0], []).append(test)
    if not lacking:
        return
    number = sum(map(len, files.values()))
    yield f"{number} tests were left out, because this machine lacks {', '.join(sorted(lacking))}:"
    for file, tests in sorted(files.items()):
        yield f"  {tests[0]}" if len(tests) == 1 else f"  {file}: {len(tests)} tests"
    yield f"On Debian this brings what they need: {install_line(lacking)}"


if __name__ == "__main__":
    for package in packages(missing()):
        print(package)
