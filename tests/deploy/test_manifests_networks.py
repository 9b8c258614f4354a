"""Who may talk to whom, and which service each path of the gateway reaches."""

from collections.abc import Callable, Iterator

import pytest

from tests.deploy.built_services import OPERATIONS, Service
from tests.deploy.manifests import (
    OVERLAYS,
    SERVICES,
    Object,
    egress_rules,
    ingress_rules,
    kinds,
    label,
    matches,
    name_of,
    one,
    pod_labels,
    render,
    service_of,
    workloads,
)

POSTGRES = {"cnpg.io/cluster": "closeloop-db"}
KAFKA = {"strimzi.io/cluster": "closeloop", "strimzi.io/kind": "Kafka"}
GATEWAY, MONITORING, KEDA = "gateway-system", "monitoring", "keda"


def network_faults(objects: list[Object]) -> list[str]:
    return [*_nobody_by_default(objects), *_engines(objects), *_ways_in(objects), *_ways_out(objects)]


def _reaches(
    rules: Iterator[Object], port: object, *, labels: dict[str, str] | None, namespace: str = ""
) -> bool:
    """Whether a rule has a peer with these labels in this namespace (none: the same), on this port."""
    for rule in rules:
        if port not in [entry["port"] for entry in rule["ports"]]:
            continue
        for peer in rule.get("from", rule.get("to", ())):
            place = peer.get("namespaceSelector")
            here = matches(place, {"kubernetes.io/metadata.name": namespace}) if place else not namespace
            if "ipBlock" not in peer and here and matches(peer.get("podSelector", {}), labels or {}):
                return True
    return False


def _nobody_by_default(objects: list[Object]) -> Iterator[str]:
    policies = [policy["spec"] for policy in kinds(objects, "NetworkPolicy")]
    if {"podSelector": {}, "policyTypes": ["Ingress"]} not in policies:
        yield "everybody gets in where no policy says otherwise"
    for workload in workloads(objects):
        labels = pod_labels(workload)
        if not any("Egress" in it["policyTypes"] and matches(it["podSelector"], labels) for it in policies):
            yield f"{name_of(workload)}: gets out to everywhere"


def _engines(objects: list[Object]) -> Iterator[str]:
    listener = one(objects, "Kafka", "closeloop")["spec"]["kafka"]["listeners"][0]
    for workload in workloads(objects):
        name, labels = name_of(workload), pod_labels(workload)
        if not _reaches(
            egress_rules(objects, labels), 53, labels={"k8s-app": "kube-dns"}, namespace="kube-system"
        ):
            yield f"{name}: finds no names"
        if not _reaches(egress_rules(objects, labels), 5432, labels=POSTGRES):
            yield f"{name}: is not let out to PostgreSQL"
        if not _reaches(ingress_rules(objects, POSTGRES), 5432, labels=labels):
            yield f"{name}: is not let in by PostgreSQL"
        if not _reaches(egress_rules(objects, labels), listener["port"], labels=KAFKA):
            yield f"{name}: is not let out to Kafka"
        if not any(
            matches(peer.get("podSelector", {"matchLabels": {"": ""}}), labels)
            for peer in listener["networkPolicyPeers"]
        ):
            yield f"{name}: is not let in by Kafka"
    if not _reaches(ingress_rules(objects, POSTGRES), 8000, labels={}, namespace="cnpg-system"):
        yield "PostgreSQL's operator does not reach its pods"
    spaces = [
        peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in listener["networkPolicyPeers"]
    ]
    if kinds(objects, "ScaledObject") and {"kubernetes.io/metadata.name": KEDA} not in spaces:
        yield "KEDA does not reach Kafka"


def _ways_in(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        labels, running = pod_labels(workload), service_of(workload) is not None
        answers = running and label(workload, "role") == "api" and bool(kinds(objects, "Gateway"))
        if _reaches(ingress_rules(objects, labels), "http", labels={}, namespace=GATEWAY) != answers:
            yield f"{name_of(workload)}: {'out of' if answers else 'within'} reach of the gateway"
        measured = running and bool(kinds(objects, "PodMonitor"))
        if measured and not _reaches(ingress_rules(objects, labels), "http", labels={}, namespace=MONITORING):
            yield f"{name_of(workload)}: out of reach of Prometheus"


def _ways_out(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        blocks = [
            (peer["ipBlock"], {entry["port"] for entry in rule["ports"]})
            for rule in egress_rules(objects, pod_labels(workload))
            for peer in rule["to"]
            if "ipBlock" in peer
        ]
        if bool(blocks) != (service_of(workload) == "notifier"):
            yield f"{name_of(workload)}: {'gets' if blocks else 'does not get'} out of the cluster"
        for block, ports in blocks:
            if not {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
                block["except"]
            ):
                yield f"{name_of(workload)}: webhooks reach the inside"
            if not {443, 587} <= ports:
                yield f"{name_of(workload)}: cannot deliver"


def routed_to(objects: list[Object], path: str) -> str | None:
    """The service behind the gateway: the longest prefix, by whole parts of the path, wins."""
    parts, best = path.split("/"), (0, "")
    for route in kinds(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            (backend,) = rule["backendRefs"]
            for match in rule["matches"]:
                prefix = match["path"]["value"].split("/")
                if parts[: len(prefix)] == prefix and len(prefix) >= best[0]:
                    best = (len(prefix), backend["name"])
    return best[1] or None


def route_faults(objects: list[Object], code: dict[str, Service]) -> list[str]:
    """Each path of the code reaches a service that has it; each prefix is of one with something there."""
    faults = []
    for path in sorted(frozenset().union(*(service.paths for service in code.values()))):
        owners = {name for name, service in code.items() if path in service.paths}
        if (target := routed_to(objects, path)) not in owners:
            faults.append(f"{path} reaches {target}, and {sorted(owners)} has it")
    for path in OPERATIONS:
        if target := routed_to(objects, path):
            faults.append(f"everybody may ask {target} for {path}")
    prefixes = [
        (rule["backendRefs"][0]["name"], match["path"]["value"])
        for route in kinds(objects, "HTTPRoute")
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]
    for name, prefix in prefixes:
        parts = prefix.split("/")
        if not any(path.split("/")[: len(parts)] == parts for path in code[name].paths):
            faults.append(f"{name} has nothing at {prefix}")
        if [other for _, other in prefixes].count(prefix) > 1:
            faults.append(f"{prefix} stands twice")
    ports = {
        name: {port["port"] for port in one(objects, "Service", name)["spec"]["ports"]} for name in SERVICES
    }
    for route in kinds(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            if any(backend["port"] not in ports[backend["name"]] for backend in rule["backendRefs"]):
                faults.append(f"{name_of(route)}: such a port has the service not")
        listeners = {entry["name"] for entry in one(objects, "Gateway", "closeloop")["spec"]["listeners"]}
        if not {parent["sectionName"] for parent in route["spec"]["parentRefs"]} <= listeners:
            faults.append(f"{name_of(route)}: hangs on no listener")
    return faults


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_needs_it_is_let_in_and_nobody_else(overlay: str) -> None:
    assert network_faults(render(overlay)) == []


@pytest.mark.parametrize("overlay", ["staging", "prod"])
def test_each_path_reaches_the_service_that_has_it(overlay: str, code: dict[str, Service]) -> None:
    assert route_faults(render(overlay), code) == []


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("NetworkPolicy", "nobody-in", lambda it: it["spec"].update(podSelector={"matchLabels": {"a": "b"}})),
        ("NetworkPolicy", "engines-out", lambda it: it["spec"].update(policyTypes=["Ingress"])),
        ("NetworkPolicy", "engines-out", lambda it: it["spec"]["egress"].pop(0)),
        ("NetworkPolicy", "engines-out", lambda it: it["spec"]["egress"][1]["ports"][0].update(port=9092)),
        ("NetworkPolicy", "engines-out", lambda it: it["spec"]["egress"].pop(2)),
        ("NetworkPolicy", "postgres-in", lambda it: it["spec"]["ingress"][0]["from"].pop(0)),
        ("NetworkPolicy", "postgres-in", lambda it: it["spec"]["ingress"].pop(1)),
        (
            "NetworkPolicy",
            "gateway-in",
            lambda it: it["spec"]["podSelector"]["matchLabels"].pop("closeloop/role"),
        ),
        ("NetworkPolicy", "gateway-in", lambda it: it["spec"]["ingress"][0]["ports"][0].update(port=8080)),
        (
            "NetworkPolicy",
            "prometheus-in",
            lambda it: it["spec"]["ingress"][0]["from"][0].update(
                namespaceSelector={"matchLabels": {"a": "b"}}
            ),
        ),
        ("NetworkPolicy", "alerts-out", lambda it: it["spec"]["podSelector"].pop("matchLabels")),
        (
            "NetworkPolicy",
            "alerts-out",
            lambda it: it["spec"]["egress"][0]["to"][0]["ipBlock"]["except"].pop(0),
        ),
        ("NetworkPolicy", "alerts-out", lambda it: it["spec"]["egress"][0]["ports"].pop()),
        ("Kafka", "closeloop", lambda it: it["spec"]["kafka"]["listeners"][0]["networkPolicyPeers"].pop(0)),
        ("Kafka", "closeloop", lambda it: it["spec"]["kafka"]["listeners"][0]["networkPolicyPeers"].pop(1)),
    ],
)
def test_a_wall_in_the_wrong_place_is_found(kind: str, name: str, change: Callable[[Object], object]) -> None:
    objects = render("prod")
    before = network_faults(objects)
    change(one(objects, kind, name))

    assert set(network_faults(objects)) - set(before)


def matches_of(route: Object) -> list[Object]:
    found: list[Object] = route["spec"]["rules"][0]["matches"]
    return found


def prefix(path: str) -> Object:
    return {"path": {"type": "PathPrefix", "value": path}}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scorer", lambda it: matches_of(it).pop(0)),
        ("scorer", lambda it: matches_of(it).append(prefix("/v1/customers/x"))),
        ("scorer", lambda it: matches_of(it).append(prefix("/v1/nothing"))),
        ("scorer", lambda it: matches_of(it).append(prefix("/metrics"))),
        ("notifier", lambda it: matches_of(it).remove(prefix("/v1/cases:bulk"))),
        ("scorer", lambda it: matches_of(it).append(prefix("/v1/responses"))),
        ("scorer", lambda it: it["spec"]["rules"][0]["backendRefs"][0].update(port=8002)),
        ("scorer", lambda it: it["spec"]["rules"][0]["backendRefs"][0].update(name="segmenter")),
        ("scorer", lambda it: it["spec"]["parentRefs"][0].update(sectionName="http")),
    ],
)
def test_a_path_that_goes_astray_is_found(
    name: str, change: Callable[[Object], object], code: dict[str, Service]
) -> None:
    objects = render("prod")
    before = route_faults(objects, code)
    change(one(objects, "HTTPRoute", name))

    assert set(route_faults(objects, code)) - set(before)
