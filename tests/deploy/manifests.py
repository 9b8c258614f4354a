"""What `kubectl kustomize` makes of an overlay, read strictly, and questions about it."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
K8S = PROJECT / "deploy/k8s"
KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ("dev", "staging", "prod")
SERVICES = ("collector", "scorer", "segmenter", "notifier")

Object = dict[str, Any]


class StrictLoader(yaml.CSafeLoader):
    """A key that stands twice is a mistake; YAML would let the last one win."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"{node.start_mark}: twice: {sorted(map(str, twice))}")
    loader.flatten_mapping(node)  # a merged key may be set anew
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# `=` has a type of its own in YAML 1.1, and is a string for Kubernetes.
StrictLoader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


@cache
def _rendered(overlay: str) -> str:
    done = subprocess.run(
        [KUBECTL, "kustomize", K8S / "overlays" / overlay],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return done.stdout


@cache
def _parsed(overlay: str) -> str:
    return json.dumps([document for document in read(_rendered(overlay)) if document])


def render(overlay: str) -> list[Object]:
    """A fresh copy of all objects, free to be broken."""
    objects: list[Object] = json.loads(_parsed(overlay))
    return objects


def read(text: str) -> list[Any]:
    """Every document; a key that stands twice raises."""
    return list(yaml.load_all(text, Loader=StrictLoader))


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def kinds(objects: Iterable[Object], *wanted: str) -> list[Object]:
    return [thing for thing in objects if thing["kind"] in wanted]


def one(objects: Iterable[Object], kind: str, name: str) -> Object:
    """The object; AssertionError with what there is."""
    of_kind = kinds(objects, kind)
    found = [thing for thing in of_kind if name_of(thing) == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} among {[name_of(thing) for thing in of_kind]}"
    return found[0]


def workloads(objects: Iterable[Object]) -> list[Object]:
    return kinds(objects, "Deployment", "Job")


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Object) -> Object:
    (only,) = pod(workload)["containers"]
    result: Object = only
    return result


def pod_labels(workload: Object) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def label(workload: Object, key: str) -> str:
    return pod_labels(workload).get(f"app.kubernetes.io/{key}") or pod_labels(workload).get(
        f"closeloop/{key}", ""
    )


def service_of(workload: Object) -> str | None:
    """Which of the four it runs, if one: by its arguments."""
    found = re.match(r"services\.(\w+)$", str(container(workload).get("args", [""])[0]))
    return found[1] if found else None


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """As Kubernetes matches `matchLabels` and `matchExpressions`; an empty selector takes all."""
    unknown = selector.keys() - {"matchLabels", "matchExpressions"}
    assert not unknown, unknown
    wanted = selector.get("matchLabels", {})
    fits = all(labels.get(key) == value for key, value in wanted.items())
    for term in selector.get("matchExpressions", ()):
        assert term["operator"] == "In", term
        fits = fits and labels.get(term["key"]) in term["values"]
    return fits


def config_map(objects: Iterable[Object], prefix: str) -> Object:
    """The generated ConfigMap of this name, whatever its hash is."""
    (found,) = [
        m for m in kinds(objects, "ConfigMap") if re.fullmatch(f"{prefix}(-[a-z0-9]{{10}})?", name_of(m))
    ]
    return found


SECRET_VALUE = "abcdefghijklmnopqrstuvwxyz0123456789"


def environment(objects: list[Object], workload: Object) -> dict[str, str]:
    """What its container is given, with `$(NAME)` filled in as the kubelet does; secrets get a value."""
    given: dict[str, str] = {}
    for source in container(workload).get("envFrom", ()):
        if "configMapRef" in source:
            given |= one(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container(workload).get("env", ()):
        value = entry.get("value", SECRET_VALUE if "valueFrom" in entry else "")
        given[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda m: given.get(m[1], m[0]), value)
    return given


def egress_rules(objects: list[Object], labels: dict[str, str]) -> Iterator[Object]:
    yield from _rules(objects, labels, "egress")


def ingress_rules(objects: list[Object], labels: dict[str, str]) -> Iterator[Object]:
    yield from _rules(objects, labels, "ingress")


def _rules(objects: list[Object], labels: dict[str, str], way: str) -> Iterator[Object]:
    for policy in kinds(objects, "NetworkPolicy"):
        if matches(policy["spec"]["podSelector"], labels):
            yield from policy["spec"].get(way, ())


def by_name(objects: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = defaultdict(list)
    for thing in objects:
        found[name_of(thing)].append(thing)
    return found
