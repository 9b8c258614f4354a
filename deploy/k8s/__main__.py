"""`python -m deploy.k8s [--check]`: write the PrometheusRule of deploy/prometheus/rules, or say it is stale.

Kustomize reads no file outside of its folder, so the same rules stand there a second time.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
RULES = PROJECT / "deploy/prometheus/rules"
WRITTEN = PROJECT / "deploy/k8s/components/prometheus/rules.yaml"


def text() -> str:
    """One PrometheusRule with the groups of all rule files."""
    files = sorted(RULES.glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    rule: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "closeloop"},
        "spec": {"groups": groups},
    }
    head = "# Written by `python -m deploy.k8s` from deploy/prometheus/rules: change it there.\n"
    return head + yaml.safe_dump(rule, sort_keys=False, width=110, allow_unicode=True)


def main(arguments: list[str]) -> int:
    """0, or 1 when it is stale."""
    wanted = text()
    if arguments != ["--check"]:
        WRITTEN.write_text(wanted, encoding="utf-8")
    elif not WRITTEN.exists() or WRITTEN.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"{WRITTEN.relative_to(PROJECT)} is stale: run `python -m deploy.k8s`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
