"""`python -m deploy.grafana [--check]`: write the dashboards, or say which are stale."""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.generated import write_or_check
from deploy.grafana.business import business
from deploy.grafana.overview import overview
from deploy.grafana.pipeline import pipeline
from deploy.grafana.runtime import runtime

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = (overview, pipeline, runtime, business)


def texts() -> dict[Path, str]:
    """The files and what is in them."""
    dashboards = [make().build() for make in DASHBOARDS]
    return {
        FOLDER / f"{dashboard.uid}.json": JSONEncoder(sort_keys=True, indent=2)
        .encode(dashboard)
        .replace(" \n", "\n")
        + "\n"
        for dashboard in dashboards
    }


def main(arguments: list[str]) -> int:
    """0, or 1 when a file is stale."""
    return write_or_check(texts(), "python -m deploy.grafana", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
