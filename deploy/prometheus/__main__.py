"""`python -m deploy.prometheus [--check]`: write what is generated, or say what is stale."""

import sys
from pathlib import Path

from deploy.prometheus import page, slo

PROJECT = Path(__file__).parents[2]
WRITTEN = {
    PROJECT / "deploy/prometheus/rules/slo.yml": slo.text,
    PROJECT / "docs/observability.md": page.text,
}


def main(arguments: list[str]) -> int:
    """0, or 1 when something is stale."""
    stale = False
    for path, text in WRITTEN.items():
        wanted = text()
        if arguments != ["--check"]:
            path.write_text(wanted, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != wanted:
            sys.stderr.write(f"{path.relative_to(PROJECT)} is stale: run `python -m deploy.prometheus`\n")
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
