"""How pods run: without rights, probed for what a restart mends, stopped with patience, replaced singly."""

from collections.abc import Callable, Iterator

import pytest

from tests.deploy.manifests import (
    OVERLAYS,
    Object,
    container,
    environment,
    kinds,
    label,
    matches,
    name_of,
    one,
    pod,
    pod_labels,
    render,
    service_of,
    workloads,
)

STOP_SECONDS = 10
"""What a service takes at most to stop; tests/integration/service holds it to that."""


def workload_faults(objects: list[Object]) -> list[str]:
    return [
        f"{name_of(workload)}: {fault}"
        for workload in workloads(objects)
        for check in (_selector, _restricted, _resources, _stop, _probes, _replacing)
        for fault in check(objects, workload)
    ] + list(_budgets(objects))


def _selector(_: list[Object], workload: Object) -> Iterator[str]:
    if workload["kind"] == "Deployment" and not matches(workload["spec"]["selector"], pod_labels(workload)):
        yield "selects other pods than it makes"


def _restricted(_: list[Object], workload: Object) -> Iterator[str]:
    """Pod Security `restricted`, and a read-only root file system."""
    spec, only = pod(workload), container(workload)
    told, own = spec.get("securityContext", {}), only.get("securityContext", {})
    if not told.get("runAsNonRoot") or not told.get("runAsUser"):
        yield "may run as root"
    if told.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities or may gain privileges"
    if not own.get("readOnlyRootFilesystem"):
        yield "may write its root file system"
    if own.get("privileged") or {"hostNetwork", "hostPID", "hostIPC"} & spec.keys():
        yield "reaches into its host"
    if any(not {"configMap", "secret", "emptyDir"} & volume.keys() for volume in spec.get("volumes", ())):
        yield "has a volume of another kind than restricted pods need"
    if spec.get("automountServiceAccountToken") is not False:
        yield "gets a token of the API server"
    if spec.get("enableServiceLinks") is not False:
        yield "gets COLLECTOR_PORT=tcp://… and its like from Kubernetes"


def _resources(_: list[Object], workload: Object) -> Iterator[str]:
    resources = container(workload).get("resources", {})
    if set(resources.get("limits", {})) != {"memory"}:
        yield "needs a limit for memory, and none for CPU"
    if set(resources.get("requests", {})) != {"cpu", "memory"}:
        yield "does not say what it needs"


def _stop(objects: list[Object], workload: Object) -> Iterator[str]:
    if service_of(workload) is None:
        return
    hook = container(workload).get("lifecycle", {}).get("preStop", {})
    wait = hook.get("sleep", {}).get("seconds", 0)
    if label(workload, "role") == "api" and wait < 5:
        yield "stops while the gateway still sends"
    if pod(workload).get("terminationGracePeriodSeconds", 30) < wait + STOP_SECONDS + 15:
        yield "is killed before it has stopped"
    if float(environment(objects, workload)["STOP_GRACE_SECONDS"]) > STOP_SECONDS:
        yield "takes longer to stop than this test knows"


def _probes(_: list[Object], workload: Object) -> Iterator[str]:
    if service_of(workload) is None:
        return
    probed = {
        name: container(workload).get(f"{name}Probe", {}).get("httpGet", {})
        for name in ("startup", "liveness", "readiness")
    }
    if any(probe.get("port") != "http" for probe in probed.values()):
        yield "has a probe that asks no port"
    for name in ("startup", "liveness"):
        if probed[name].get("path") != "/livez":
            yield f"{name} must not depend on an engine"
    without = "?without=kafka&without=postgres&without=logs" if label(workload, "role") == "api" else ""
    if probed["readiness"].get("path") != "/readyz" + without:
        yield "readiness asks something else than its role needs"


def _replacing(objects: list[Object], workload: Object) -> Iterator[str]:
    if service_of(workload) is None:
        return
    spread = {term["topologyKey"]: term for term in pod(workload).get("topologySpreadConstraints", ())}
    if set(spread) != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
        yield "is not spread over zones and hosts"
    if not all(matches(term["labelSelector"], pod_labels(workload)) for term in spread.values()):
        yield "is spread among pods that are not its own"
    rolling = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
    wanted = (0, 1) if label(workload, "role") == "consumer" else (1, 0)
    if (rolling.get("maxSurge"), rolling.get("maxUnavailable")) != wanted:
        yield "is replaced in the wrong order"
    scaled = {
        thing["spec"]["scaleTargetRef"]["name"]
        for thing in kinds(objects, "HorizontalPodAutoscaler", "ScaledObject")
    }
    if name_of(workload) in scaled and "replicas" in workload["spec"]:
        yield "has a count of its own beside the one that scaling gives it"


def _budgets(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        if service_of(workload) is None:
            continue
        found = [
            budget
            for budget in kinds(objects, "PodDisruptionBudget")
            if matches(budget["spec"]["selector"], pod_labels(workload))
        ]
        if len(found) != 1:
            yield f"{name_of(workload)}: {len(found)} disruption budgets"
        elif found[0]["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{name_of(workload)}: a broken pod would keep its node from being drained"
    for namespace in kinds(objects, "Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "the namespace does not enforce restricted pods"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_runs_as_it_should(overlay: str) -> None:
    assert workload_faults(render(overlay)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_api_and_consumer_of_each_service_are_scaled_apart(overlay: str) -> None:
    running = {
        (service_of(it), *container(it)["args"][2:]) for it in workloads(render(overlay)) if service_of(it)
    }

    assert running == {("collector",)} | {
        (name, "--only", half) for name in ("scorer", "segmenter", "notifier") for half in ("api", "consumer")
    }


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scorer-api", lambda it: it["spec"]["selector"]["matchLabels"].update({"closeloop/role": "apis"})),
        ("scorer-api", lambda it: pod(it)["securityContext"].update(runAsNonRoot=False)),
        ("scorer-api", lambda it: pod(it)["securityContext"].pop("seccompProfile")),
        ("scorer-api", lambda it: container(it)["securityContext"].update(capabilities={"add": ["NET_RAW"]})),
        ("scorer-api", lambda it: container(it)["securityContext"].pop("readOnlyRootFilesystem")),
        ("scorer-api", lambda it: pod(it).update(hostNetwork=True)),
        ("scorer-api", lambda it: pod(it)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
        ("scorer-api", lambda it: pod(it).pop("automountServiceAccountToken")),
        ("collector", lambda it: pod(it).update(enableServiceLinks=True)),
        ("collector", lambda it: container(it)["resources"]["limits"].update(cpu="1")),
        ("collector", lambda it: container(it)["resources"].pop("requests")),
        ("collector", lambda it: container(it).pop("lifecycle")),
        ("collector", lambda it: pod(it).update(terminationGracePeriodSeconds=30)),
        ("scorer-consumer", lambda it: pod(it).update(terminationGracePeriodSeconds=15)),
        ("collector", lambda it: container(it)["env"].append({"name": "STOP_GRACE_SECONDS", "value": "20"})),
        ("collector", lambda it: container(it)["livenessProbe"]["httpGet"].update(path="/readyz")),
        ("collector", lambda it: container(it)["readinessProbe"]["httpGet"].update(path="/readyz")),
        ("scorer-consumer", lambda it: container(it)["readinessProbe"]["httpGet"].update(path="/livez")),
        ("collector", lambda it: container(it)["startupProbe"]["httpGet"].update(port=9000)),
        ("collector", lambda it: pod(it)["topologySpreadConstraints"].pop()),
        ("scorer-consumer", lambda it: it["spec"]["strategy"]["rollingUpdate"].update(maxSurge=1)),
        ("scorer-consumer", lambda it: it["spec"].update(replicas=3)),
        ("collector", lambda it: it["spec"].update(replicas=3)),
    ],
)
def test_a_mistake_is_found(name: str, change: Callable[[Object], object]) -> None:
    objects = render("prod")
    before = workload_faults(objects)
    change(one(objects, "Deployment", name))

    assert set(workload_faults(objects)) - set(before)


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("PodDisruptionBudget", "scorer-api", lambda it: it["spec"]["selector"]["matchLabels"].clear()),
        ("PodDisruptionBudget", "scorer-api", lambda it: it["spec"].pop("unhealthyPodEvictionPolicy")),
        ("Namespace", "closeloop", lambda it: it["metadata"].update(labels={})),
    ],
)
def test_a_mistake_around_the_pods_is_found(kind: str, name: str, change: Callable[[Object], object]) -> None:
    objects = render("prod")
    before = workload_faults(objects)
    change(one(objects, kind, name))

    assert set(workload_faults(objects)) - set(before)
