"""`python -m deploy.k8s [--check]`: write the PrometheusRule of deploy/prometheus/rules, or say it is stale.

Kustomize reads no file outside of its folder, so the same rules stand there a second time.
"""

import sys
from typing import Any

import yaml

from deploy.generated import PROJECT, write_or_check

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
    return write_or_check({WRITTEN: text()}, "python -m deploy.k8s", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
