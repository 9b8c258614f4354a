"""docs/operators-shell.md: after its blocks the commands of the runbook pages work as they stand."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.e2e.product import ROOT, Product

TEXT = (ROOT / "docs/operators-shell.md").read_text()
ON_KUBERNETES, BESIDE_MAKE_RUN = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-uc", script],
        check=False, capture_output=True, text=True, timeout=120, cwd=ROOT, env=os.environ | variables,
    )  # fmt: skip


def test_beside_make_run_every_tool_reaches_the_copy(need: Callable[..., None], product: Product) -> None:
    need("curl")
    url = product.urls["notifier"]
    done = bash(
        f"""{BESIDE_MAKE_RUN}
        closeloop status && closeloop verify && closeloop config check \\
        && psql "$DATABASE_URL" -Atc 'SELECT name FROM notifier.leases' \\
        && curl -fsS '{url}/v1/deliveries?state=dead' -H "Authorization: Bearer $KEY" \\
        && test -z "$(printenv DATABASE_URL)"
        """,
        **product.environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_on_kubernetes_each_goes_where_it_can_be_answered(tmp_path: Path) -> None:
    """`kubectl` says here what it was told; nothing else is replaced."""
    (tmp_path / "kubectl").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n')
    (tmp_path / "kubectl").chmod(0o755)
    done = bash(
        f"""{ON_KUBERNETES}
        wait
        closeloop dead show scorer 1
        closeloop status
        DATABASE_URL= psql "${{DATABASE_URL:-}}" -c 'SELECT 1'
        kubectl logs deploy/scorer-consumer
        """,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "told").read_text().splitlines()
    ours = "--namespace closeloop "
    assert told[-4:] == [
        f"{ours}exec -i deploy/operator -- closeloop dead show scorer 1",
        f"{ours}get pods",
        f"{ours}exec -i svc/closeloop-db-rw -c postgres -- psql -d closeloop -c SELECT 1",
        f"{ours}logs deploy/scorer-consumer",
    ]
    assert "--namespace monitoring port-forward svc/prometheus-operated 9090" in told
    forwarded = {line.split()[4].partition(":")[0] for line in told if " port-forward " in line}
    assert forwarded == {"8001", "8002", "8003", "8004", "9090"}


def test_names_workloads_that_there_are() -> None:
    manifests = "".join(file.read_text() for file in (ROOT / "deploy/k8s").rglob("*.yaml"))
    for name in re.findall(r"\b(?:deploy|svc)/([\w-]+)", ON_KUBERNETES):
        # Two that operators make: of the Prometheus operator, and of CloudNativePG for its primary.
        assert name == "prometheus-operated" or f"name: {name.removesuffix('-rw')}\n" in manifests, name
