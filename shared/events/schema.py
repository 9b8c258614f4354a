"""Write the JSON Schema of every event into `schemas/`, or check that they are up to date.

python -m shared.events.schema [--check]
"""

import json
import sys
from pathlib import Path

from shared.events.registry import EVENTS

FOLDER = Path(__file__).with_name("schemas")


def rendered() -> dict[Path, str]:
    """The file and the text of each schema."""
    return {
        FOLDER / f"{name}.json": json.dumps(event.json_schema(), indent=2, sort_keys=True) + "\n"
        for name, event in EVENTS.items()
    }


def main() -> int:
    """Exit code 1 when `--check` finds a file that differs from the models."""
    files = rendered()
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
    stale += [path.name for path in FOLDER.glob("*.json") if path not in files]
    for name in stale:
        sys.stderr.write(f"{name} is out of date: run `python -m shared.events.schema`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
