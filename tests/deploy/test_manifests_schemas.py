"""Every object of every overlay against the schema of its kind; what has no schema fails."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.k8s.__main__ import main as write_rules
from tests.deploy.manifests import OVERLAYS, Object, name_of, one, read, render

SCHEMAS = {
    file.stem: json.loads(file.read_text())
    for file in (Path(__file__).parent / "schemas").glob("[A-Z]*.json")
}
KUBERNETES = "1.34"


def schema_faults(objects: list[Object]) -> list[str]:
    return [
        f"{thing['kind']} {name_of(thing)}: {fault}"
        for thing in objects
        for fault in _faults(json.dumps(thing, sort_keys=True))
    ]


@cache  # the overlays have most objects in common, and a big schema takes its time
def _faults(text: str) -> list[str]:
    thing = json.loads(text)
    if thing["kind"] in SCHEMAS:
        validator = jsonschema.Draft202012Validator(SCHEMAS[thing["kind"]])
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(thing)]
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return ["nobody knows this kind"]
    except kubernetes_validate.ValidationError as error:
        return [str(error.message)]
    return []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_fits_the_schema_of_its_kind(overlay: str) -> None:
    assert schema_faults(render(overlay)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_object_stands_twice(overlay: str) -> None:
    keys = [(thing["apiVersion"], thing["kind"], name_of(thing)) for thing in render(overlay)]

    assert len(keys) == len(set(keys))


def _wrong(kind: str, name: str, change: Callable[[Object], object]) -> list[str]:
    objects = render("prod")
    change(one(objects, kind, name))
    return schema_faults(objects)


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("Deployment", "collector", lambda it: it["spec"].update(replica=2)),
        ("Deployment", "collector", lambda it: it["spec"].update(minReadySeconds="ten")),
        ("HorizontalPodAutoscaler", "collector", lambda it: it["spec"].pop("maxReplicas")),
        ("NetworkPolicy", "engines-out", lambda it: it["spec"].update(egres=[])),
        ("KafkaTopic", "feedback.cases.v1", lambda it: it["spec"].update(partitons=6)),
        (
            "KafkaUser",
            "closeloop-scorer",
            lambda it: it["spec"]["authorization"]["acls"][0].update(operations=["Red"]),
        ),
        ("KafkaNodePool", "brokers", lambda it: it["spec"].update(roles=["brokers"])),
        ("Kafka", "closeloop", lambda it: it["spec"]["kafka"]["listeners"][0].update(port="9093")),
        (
            "ScaledObject",
            "scorer-consumer",
            lambda it: it["spec"]["triggers"][0]["metadata"].update(lagThreshold=5),
        ),
        ("ScaledObject", "scorer-consumer", lambda it: it["spec"].update(maxReplicas=6)),
        ("TriggerAuthentication", "closeloop-kafka", lambda it: it["spec"]["secretTargetRef"][0].pop("key")),
        (
            "Cluster",
            "closeloop-db",
            lambda it: it["spec"]["postgresql"]["synchronous"].update(dataDurabilty="x"),
        ),
        ("Cluster", "closeloop-db", lambda it: it["spec"]["managed"]["roles"][0].update(logn=True)),
        ("ScheduledBackup", "closeloop-db-nightly", lambda it: it["spec"].pop("cluster")),
        ("ObjectStore", "closeloop-backups", lambda it: it["spec"]["configuration"].update(wall={})),
        ("ExternalSecret", "closeloop-root", lambda it: it["spec"]["data"][0].pop("secretKey")),
        ("Gateway", "closeloop", lambda it: it["spec"]["listeners"][0].update(protocol=443)),
        (
            "HTTPRoute",
            "scorer",
            lambda it: it["spec"]["rules"][0]["matches"][0]["path"].update(type="Prefix"),
        ),
        ("PodMonitor", "closeloop", lambda it: it["spec"].update(sampleLimt=1)),
        ("PrometheusRule", "closeloop", lambda it: it["spec"]["groups"][0]["rules"][0].update(fr="5m")),
        ("Namespace", "closeloop", lambda it: it.update(kind="Namespaces")),
    ],
)
def test_a_mistake_is_found(kind: str, name: str, change: Callable[[Object], object]) -> None:
    assert len(_wrong(kind, name, change)) >= 1


def test_a_kind_that_nobody_knows_is_a_mistake() -> None:
    unknown = {"apiVersion": "example.org/v1", "kind": "Something", "metadata": {"name": "a"}}

    assert schema_faults([unknown]) == ["Something a: nobody knows this kind"]


def test_a_key_that_stands_twice_is_a_mistake() -> None:
    with pytest.raises(yaml.YAMLError, match="twice"):
        read("spec:\n  replicas: 1\n  replicas: 2\n")


def test_the_rules_are_those_of_the_rule_files() -> None:
    assert write_rules(["--check"]) == 0
