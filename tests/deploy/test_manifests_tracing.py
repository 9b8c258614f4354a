"""Tracing: off in every overlay; with its component each service is told where, and is let out there."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.ops.settings import PlatformSettings
from tests.deploy.manifests import (
    K8S,
    KUBECTL,
    OVERLAYS,
    Object,
    egress_rules,
    environment,
    matches,
    name_of,
    one,
    pod_labels,
    read,
    render,
    service_of,
    workloads,
)
from tests.deploy.test_manifests_schemas import schema_faults

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def traced(tmp_path: Path) -> list[Object]:
    """Production with the component, as docs/deploy.md says to add it."""
    overlay = tmp_path.resolve() / "traced"
    overlay.mkdir()
    parts = [os.path.relpath(K8S / part, overlay) for part in ("overlays/prod", "components/tracing")]
    (overlay / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: closeloop\n"
        f"resources: [{parts[0]}]\ncomponents: [{parts[1]}]\n"
    )
    done = subprocess.run(
        [KUBECTL, "kustomize", overlay], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [document for document in read(done.stdout) if document]


def reaches(objects: list[Object], workload: Object, port: int, namespace: str) -> bool:
    return any(
        port in [entry["port"] for entry in rule["ports"]]
        and matches(peer.get("namespaceSelector", {"matchLabels": {"": ""}}), space)
        for rule in egress_rules(objects, pod_labels(workload))
        for peer in rule["to"]
        for space in [{"kubernetes.io/metadata.name": namespace}]
    )


def tracing_faults(objects: list[Object]) -> list[str]:
    """Where a service is not told, or not let out, or somebody else is."""
    faults = []
    for workload in workloads(objects):
        told = urlsplit(environment(objects, workload).get(ENDPOINT, ""))
        namespace = str(told.hostname).partition(".")[2]
        out = reaches(objects, workload, told.port or 0, namespace)
        if service_of(workload) is None:
            if out:
                faults.append(f"{name_of(workload)}: sends no traces and is let out")
        elif not told.hostname or not out:
            faults.append(f"{name_of(workload)}: cannot send to {told.geturl() or 'nowhere'}")
    return faults


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_is_off_as_it_comes(overlay: str) -> None:
    objects = render(overlay)
    for workload in workloads(objects):
        assert ENDPOINT not in environment(objects, workload)
        assert not reaches(objects, workload, 4318, "monitoring")


def test_reaches_the_collector_from_every_service(traced: list[Object]) -> None:
    assert tracing_faults(traced) == []
    assert schema_faults(traced) == []


def test_is_what_the_services_read(traced: list[Object], bare_environment: pytest.MonkeyPatch) -> None:
    for workload in workloads(traced):
        if service_of(workload):
            for name, value in environment(traced, workload).items():
                bare_environment.setenv(name, value)
            assert PlatformSettings().otel_exporter_otlp_endpoint == "http://otel-collector.monitoring:4318"


@pytest.mark.parametrize("field", ["port", "namespace", "pods"])
def test_a_wall_in_the_wrong_place_is_found(traced: list[Object], field: str) -> None:
    policy = one(traced, "NetworkPolicy", "traces-out")["spec"]
    if field == "port":
        policy["egress"][0]["ports"][0]["port"] = 4317
    elif field == "namespace":
        policy["egress"][0]["to"] = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
    else:
        policy["podSelector"].pop("matchExpressions")
    assert tracing_faults(traced)
