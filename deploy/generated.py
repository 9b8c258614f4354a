"""Files that are generated and checked in."""

import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def write_or_check(texts: Mapping[Path, str], command: str, arguments: list[str]) -> int:
    """Write them, or with `--check` only say which are stale; 1 when one is. `command` writes them."""
    stale = False
    for path, text in texts.items():
        if arguments != ["--check"]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path.relative_to(PROJECT)} is stale: run `{command}`\n")
            stale = True
    return int(stale)
