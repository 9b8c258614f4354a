"""A finding of `closeloop doctor`, and the checks that need nothing but Python."""

import sys
import time
from dataclasses import dataclass

NEEDED_PYTHON = (3, 11)
# Before this the clock is certainly wrong: the code did not exist.
EARLIEST_YEAR = 2026


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do if it is not ok."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= NEEDED_PYTHON, version, "Install Python 3.11 or newer.")


def clock() -> Finding:
    now = time.gmtime()
    return Finding(
        "clock",
        now.tm_year >= EARLIEST_YEAR,
        time.strftime("%Y-%m-%d %H:%M:%S UTC", now),
        "Set the machine's clock: answers are counted by time.",
    )
