"""What one object says of another: it is there, or docs/deploy.md says who makes it."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.deploy.manifests import (
    OVERLAYS,
    PROJECT,
    Object,
    container,
    kinds,
    matches,
    name_of,
    one,
    pod,
    pod_labels,
    render,
    workloads,
)

MADE_BY_HAND = re.compile(r"^kubectl [^\n]*create secret \w+ ([a-z0-9-]+)", re.MULTILINE)


def reference_faults(objects: list[Object]) -> list[str]:
    checks = (_secrets, _config_maps, _accounts, _services, _scaled, _images, _expansions, _namespaces)
    return [fault for check in checks for fault in check(objects)]


def secret_names(objects: list[Object]) -> set[str]:
    """Of every object in it: made by an operator of the cluster, by External Secrets, or by hand."""
    by_hand = set(MADE_BY_HAND.findall((PROJECT / "docs/deploy.md").read_text(encoding="utf-8")))
    stores = {name_of(thing) for thing in kinds(objects, "ExternalSecret")}
    users = {name_of(thing) for thing in kinds(objects, "KafkaUser")}
    kafka = {f"{name_of(thing)}-cluster-ca-cert" for thing in kinds(objects, "Kafka")}
    databases = {f"{name_of(thing)}-ca" for thing in kinds(objects, "Cluster")}
    # Where a store is in use, only what is not in it may be left to hands.
    return (stores | {"closeloop-tls"} if stores else by_hand) | users | kafka | databases


def _references(thing: object, *keys: str) -> Iterator[str]:
    """Names below any of these keys, however deep."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key in keys:
                for entry in value if isinstance(value, list) else [value]:
                    yield entry if isinstance(entry, str) else entry.get("name") or entry["secretName"]
            else:
                yield from _references(value, *keys)
    elif isinstance(thing, list):
        for entry in thing:
            yield from _references(entry, *keys)


def _secrets(objects: list[Object]) -> Iterator[str]:
    keys = (
        "secretKeyRef", "secretRef", "secretName", "passwordSecret", "accessKeyId", "secretAccessKey",
        "secretTargetRef", "certificateRefs",
    )  # fmt: skip
    known = secret_names(objects)
    for thing in objects:
        owner = one(objects, "Cluster", name_of(thing)) if thing["kind"] == "Cluster" else None
        initdb = [owner["spec"]["bootstrap"]["initdb"]["secret"]["name"]] if owner else []
        for name in {*_references(thing.get("spec", {}), *keys), *initdb} - known:
            yield f"{thing['kind']} {name_of(thing)}: nobody makes the secret {name}"


def _config_maps(objects: list[Object]) -> Iterator[str]:
    known = {name_of(thing) for thing in kinds(objects, "ConfigMap")}
    for thing in objects:
        names = set(_references(thing.get("spec", {}), "configMapRef", "configMap", "configMapRefs"))
        for name in names - known:
            yield f"{thing['kind']} {name_of(thing)}: there is no ConfigMap {name}"


def _accounts(objects: list[Object]) -> Iterator[str]:
    known = {name_of(thing) for thing in kinds(objects, "ServiceAccount")}
    for workload in workloads(objects):
        if pod(workload).get("serviceAccountName") not in known:
            yield f"{name_of(workload)}: there is no such service account"
        mounted = {mount["name"] for mount in container(workload).get("volumeMounts", ())}
        if mounted != {volume["name"] for volume in pod(workload).get("volumes", ())}:
            yield f"{name_of(workload)}: mounts other volumes than it has"


def _services(objects: list[Object]) -> Iterator[str]:
    for service in kinds(objects, "Service"):
        behind = [
            it
            for it in workloads(objects)
            if matches({"matchLabels": service["spec"]["selector"]}, pod_labels(it))
        ]
        if len(behind) != 1:
            yield f"Service {name_of(service)}: {len(behind)} workloads behind it"
        for workload in behind:
            ports = {port["name"] for port in container(workload).get("ports", ())}
            if not {port["targetPort"] for port in service["spec"]["ports"]} <= ports:
                yield f"Service {name_of(service)}: {name_of(workload)} has no such port"
    for monitor in kinds(objects, "PodMonitor"):
        watched = [it for it in workloads(objects) if matches(monitor["spec"]["selector"], pod_labels(it))]
        ports = {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]}
        if any(not ports <= {port["name"] for port in container(it).get("ports", ())} for it in watched):
            yield "PodMonitor: asks pods for a port that they have not"
        if len(watched) != 7:
            yield f"PodMonitor: watches {len(watched)} of 7 workloads"


def _scaled(objects: list[Object]) -> Iterator[str]:
    known = {name_of(thing) for thing in kinds(objects, "Deployment")}
    authentications = {name_of(thing) for thing in kinds(objects, "TriggerAuthentication")}
    for thing in kinds(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        if thing["spec"]["scaleTargetRef"]["name"] not in known:
            yield f"{name_of(thing)}: scales nothing"
        for trigger in thing["spec"].get("triggers", ()):
            if trigger["authenticationRef"]["name"] not in authentications:
                yield f"{name_of(thing)}: signs in as nobody"


def _images(objects: list[Object]) -> Iterator[str]:
    images = {container(workload)["image"] for workload in workloads(objects)}
    if len(images) != 1:
        yield f"several images: {images}"
    production = any(name_of(thing) == "closeloop-backups" for thing in objects)
    if production and not all(re.search(r"@sha256:[0-9a-f]{64}$|-staging$", image) for image in images):
        yield f"an image without a digest: {images}"


def _expansions(objects: list[Object]) -> Iterator[str]:
    """`$(NAME)` is filled in only from what stands before it."""
    for workload in workloads(objects):
        before: set[str] = set()
        for entry in container(workload).get("env", ()):
            for name in set(re.findall(r"\$\((\w+)\)", entry.get("value", ""))) - before:
                yield f"{name_of(workload)}: {entry['name']} is made of {name}, which comes later or never"
            before.add(entry["name"])


def _namespaces(objects: list[Object]) -> Iterator[str]:
    (namespace,) = {name_of(thing) for thing in kinds(objects, "Namespace")}
    for thing in objects:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") != namespace:
            yield f"{thing['kind']} {name_of(thing)}: is in another namespace"
    clusters = {f"{name_of(kafka)}-kafka-bootstrap.{namespace}.svc:9093" for kafka in kinds(objects, "Kafka")}
    for scaled in kinds(objects, "ScaledObject"):  # KEDA looks from a namespace of its own
        asked = {trigger["metadata"]["bootstrapServers"] for trigger in scaled["spec"]["triggers"]}
        if not asked <= clusters:
            yield f"{name_of(scaled)}: asks a Kafka that is not there"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_that_is_named_is_there(overlay: str) -> None:
    assert reference_faults(render(overlay)) == []


def test_production_runs_by_digest() -> None:
    assert "@sha256:" in container(one(render("prod"), "Deployment", "collector"))["image"]


@pytest.mark.parametrize("secret", sorted(secret_names(render("prod")) - {"closeloop-db-ca"}))
def test_the_page_says_where_each_secret_comes_from(secret: str) -> None:
    assert f"`{secret}`" in (PROJECT / "docs/deploy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        (
            "Deployment",
            "scorer-api",
            lambda it: container(it)["env"][0]["valueFrom"]["secretKeyRef"].update(name="x"),
        ),
        ("Deployment", "notifier-api", lambda it: container(it)["envFrom"][1]["secretRef"].update(name="x")),
        ("Deployment", "scorer-api", lambda it: container(it)["envFrom"][0]["configMapRef"].update(name="x")),
        ("Deployment", "scorer-api", lambda it: pod(it)["volumes"][1]["secret"].update(secretName="x")),
        ("Deployment", "scorer-api", lambda it: pod(it).update(serviceAccountName="x")),
        ("Deployment", "scorer-api", lambda it: pod(it)["volumes"].pop()),
        ("Deployment", "scorer-api", lambda it: container(it)["ports"][0].update(name="web")),
        ("Deployment", "scorer-api", lambda it: container(it).update(image="closeloop:latest")),
        ("Deployment", "scorer-api", lambda it: container(it)["env"].reverse()),
        ("Deployment", "scorer-api", lambda it: it["metadata"].update(namespace="other")),
        ("Service", "scorer", lambda it: it["spec"]["selector"].pop("closeloop/role")),
        ("PodMonitor", "closeloop", lambda it: it["spec"]["selector"].pop("matchExpressions")),
        ("HorizontalPodAutoscaler", "collector", lambda it: it["spec"]["scaleTargetRef"].update(name="x")),
        (
            "ScaledObject",
            "scorer-consumer",
            lambda it: it["spec"]["triggers"][0]["authenticationRef"].update(name="x"),
        ),
        (
            "ScaledObject",
            "scorer-consumer",
            lambda it: it["spec"]["triggers"][0]["metadata"].update(bootstrapServers="x"),
        ),
        (
            "Cluster",
            "closeloop-db",
            lambda it: it["spec"]["managed"]["roles"][0]["passwordSecret"].update(name="x"),
        ),
        ("Cluster", "closeloop-db", lambda it: it["spec"]["bootstrap"]["initdb"]["secret"].update(name="x")),
        (
            "ObjectStore",
            "closeloop-backups",
            lambda it: it["spec"]["configuration"]["s3Credentials"]["accessKeyId"].update(name="x"),
        ),
        (
            "Gateway",
            "closeloop",
            lambda it: it["spec"]["listeners"][0]["tls"]["certificateRefs"][0].update(name="x"),
        ),
        (
            "TriggerAuthentication",
            "closeloop-kafka",
            lambda it: it["spec"]["secretTargetRef"][0].update(name="x"),
        ),
    ],
)
def test_a_mistake_is_found(kind: str, name: str, change: Callable[[Object], object]) -> None:
    objects = render("prod")
    before = reference_faults(objects)
    change(one(objects, kind, name))

    assert set(reference_faults(objects)) - set(before)
