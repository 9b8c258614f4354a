"""`python -m deploy.prometheus [--check]`: write what is generated, or say what is stale."""

import sys

from deploy.generated import PROJECT, write_or_check
from deploy.prometheus import page, slo

WRITTEN = {
    PROJECT / "deploy/prometheus/rules/slo.yml": slo.text,
    PROJECT / "docs/observability.md": page.text,
}


def main(arguments: list[str]) -> int:
    """0, or 1 when something is stale."""
    texts = {path: text() for path, text in WRITTEN.items()}
    return write_or_check(texts, "python -m deploy.prometheus", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
