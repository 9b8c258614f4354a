"""`python -m deploy.grafana [--check]`: write the dashboards, or say which are stale."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.business import business
from deploy.grafana.overview import overview
from deploy.grafana.pipeline import pipeline
from deploy.grafana.runtime import runtime

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = (overview, pipeline, runtime, business)


def texts() -> dict[str, str]:
    """The files by name."""
    built = [make().build() for make in DASHBOARDS]
    return {
        f"{one.uid}.json": JSONEncoder(sort_keys=True, indent=2).encode(one).replace(" \n", "\n") + "\n"
        for one in built
    }


def main(arguments: list[str]) -> int:
    """0, or 1 when a file is stale."""
    stale = False
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        path = FOLDER / name
        json.loads(text)
        if arguments != ["--check"]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{name} is stale: run `python -m deploy.grafana`\n")
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
