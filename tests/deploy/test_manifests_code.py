"""Topics, groups, ports, settings and pools of the manifests are those of the code."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from cli.config import mistakes_of_sections
from shared.config import load
from shared.events.topics import ERASURES, TOPICS
from shared.kafka.topics import PARTITIONS
from shared.ops.settings import ListenSettings, PlatformSettings
from shared.pages.cookies import PageSettings
from tests.deploy.built_services import Service
from tests.deploy.manifests import (
    OVERLAYS,
    SERVICES,
    Object,
    config_map,
    container,
    environment,
    kinds,
    label,
    name_of,
    one,
    pod,
    render,
    service_of,
    workloads,
)

Code = dict[str, Service]

OF_LIBRARIES = {"PGSSLROOTCERT", "POSTGRES_PASSWORD"}
"""Read by asyncpg, and a part of DATABASE_URL."""
OF_CHANNELS = {"CLOSELOOP_ALERTS_URL", "CLOSELOOP_ALERTS_SECRET"}


def code_faults(objects: list[Object], code: Code) -> list[str]:
    checks = (_topics, _users, _scaling, _settings, _ports, _pools)
    return [fault for check in checks for fault in check(objects, code)]


def _topics(objects: list[Object], _: Code) -> Iterator[str]:
    found = {name_of(topic): topic["spec"] for topic in kinds(objects, "KafkaTopic")}
    if set(found) != {topic.name for topic in TOPICS}:
        yield f"topics: {sorted(found)}"
    for topic in TOPICS:
        spec = found.get(topic.name, {"config": {}})
        if spec.get("partitions") != PARTITIONS:
            yield f"{topic.name}: {spec.get('partitions')} partitions"
        durable = {"min.insync.replicas": "2" if spec.get("replicas") == 3 else "1"}
        if {key: str(value) for key, value in spec["config"].items()} != topic.config | durable:
            yield f"{topic.name}: {spec['config']}"


def _users(objects: list[Object], code: Code) -> Iterator[str]:
    """A service reads what it consumes, writes what its card says that it emits, and describes all.

    Erasures are promised for every service: their rights are there before the code uses them.
    """
    for name, service in code.items():
        user = one(objects, "KafkaUser", f"closeloop-{name}")
        rights = {
            (acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"])
            for acl in user["spec"]["authorization"]["acls"]
        }
        card = __import__(f"services.{name}", fromlist=["services"]).__doc__
        emitted = card.partition("Emits")[2]
        wanted = {
            ("topic", topic.name): {"Describe"}
            | ({"Read"} if topic.name in service.topics else set())
            | ({"Write"} if topic.name in emitted else set())
            for topic in TOPICS
        }
        wanted["topic", ERASURES.name] = {"Describe", "Read" if service.group else "Write"}
        if service.group:
            wanted["group", service.group] = {"Read", "Describe"}
        for resource in wanted.keys() | rights.keys():
            if wanted.get(resource) != rights.get(resource):
                found, needed = rights.get(resource), wanted.get(resource)
                yield f"closeloop-{name}: {resource} {found}, the code needs {needed}"


def _scaling(objects: list[Object], code: Code) -> Iterator[str]:
    for scaled in kinds(objects, "ScaledObject"):
        target = one(objects, "Deployment", scaled["spec"]["scaleTargetRef"]["name"])
        service = code[str(service_of(target))]
        triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
        if {trigger["consumerGroup"] for trigger in triggers} != {service.group}:
            yield f"{name_of(scaled)}: looks at another group than {service.group}"
        busy = [topic for topic in service.topics if topic != ERASURES.name]
        if sorted(trigger["topic"] for trigger in triggers) != busy:
            yield f"{name_of(scaled)}: looks at other topics than {busy}"
        if scaled["spec"]["maxReplicaCount"] > PARTITIONS:
            yield f"{name_of(scaled)}: more replicas than partitions"
        if label(target, "role") != "consumer" or scaled["spec"]["minReplicaCount"] < 2:
            yield f"{name_of(scaled)}: is not two consumers at least"


def variables(settings: type[BaseSettings]) -> set[str]:
    """The names that a settings class reads from its environment."""
    prefix = settings.model_config.get("env_prefix", "")
    found: set[str] = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            found |= {str(choice) for choice in alias.choices}
        else:
            found.add(f"{prefix}{name}".upper())
    return found


def _settings(objects: list[Object], code: Code) -> Iterator[str]:
    platform = variables(PlatformSettings) | variables(PageSettings) | OF_LIBRARIES
    every = platform.union(*(variables(service.settings) for service in code.values()))
    for name in config_map(objects, "closeloop-env")["data"].keys() - every:
        yield f"closeloop-env: nothing reads {name}"
    for workload in workloads(objects):
        own = service_of(workload)
        known = platform | (variables(code[own].settings) if own else set())
        for entry in container(workload).get("env", ()):
            if entry["name"] not in known:
                yield f"{name_of(workload)}: nothing in it reads {entry['name']}"
        yield from _accepted(objects, workload, code)


def _accepted(objects: list[Object], workload: Object, code: Code) -> Iterator[str]:
    """The settings classes take what is set, and see what the manifest means."""
    own = service_of(workload)
    if own is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(objects, workload).items():
            patch.setenv(name, value)
        try:
            platform, settings, _ = PlatformSettings(), code[own].settings(), PageSettings()
        except ValueError as error:
            yield f"{name_of(workload)}: {error}"
            return
    if settings.host != "0.0.0.0" or settings.port != container(workload)["ports"][0]["containerPort"]:
        yield f"{name_of(workload)}: listens at {settings.host}:{settings.port}"
    yield from _memory(workload, settings)
    if f"closeloop_{own}:" not in platform.database_url.get_secret_value() or "verify-full" not in str(
        platform.database_url.get_secret_value()
    ):
        yield f"{name_of(workload)}: is another user of PostgreSQL, or does not verify it"
    if platform.kafka_username != f"closeloop-{own}" or not platform.kafka_password.get_secret_value():
        yield f"{name_of(workload)}: is another user of Kafka"
    mounts = {mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    files = [
        platform.closeloop_config,
        platform.kafka_ca_file,
        Path(environment(objects, workload)["PGSSLROOTCERT"]),
    ]
    if not {str(file.parent) for file in files if file} <= mounts or platform.kafka_ca_file is None:
        yield f"{name_of(workload)}: reads a file that is not mounted"
    if platform.closeloop_config.name not in config_map(objects, "closeloop-config")["data"]:
        yield f"{name_of(workload)}: there is no such configuration"


def _memory(workload: Object, settings: ListenSettings) -> Iterator[str]:
    """What is left above the request holds twice what clients may send: a body is copied when it is read."""
    asked = container(workload)["resources"]
    limit, request = (
        int(asked[kind]["memory"].removesuffix("Mi")) * 1024**2 for kind in ("limits", "requests")
    )
    if limit - request < 2 * settings.process_buffer_bytes:
        yield f"{name_of(workload)}: its limit has no room for what clients may send"


def _ports(objects: list[Object], code: Code) -> Iterator[str]:
    for workload in workloads(objects):
        if own := service_of(workload):
            default = code[own].settings.model_fields["port"].default
            if [port["containerPort"] for port in container(workload)["ports"]] != [default]:
                yield f"{name_of(workload)}: its port is not {default}"


def most_pods(objects: list[Object], workload: Object) -> int:
    """How many there may be at once, in the middle of a rollout too."""
    spec = workload["spec"]
    counts = [
        thing["spec"].get("maxReplicas") or thing["spec"]["maxReplicaCount"]
        for thing in kinds(objects, "HorizontalPodAutoscaler", "ScaledObject")
        if thing["spec"]["scaleTargetRef"]["name"] == name_of(workload)
    ] or [max(1, spec.get("replicas", 1))]
    return int(counts[0]) + int(spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0))


def _pools(objects: list[Object], code: Code) -> Iterator[str]:
    """Every pool full at once, and a connection more a pod for the look at the schema."""
    needed = dict.fromkeys(SERVICES, 0)
    for workload in workloads(objects):
        if own := service_of(workload):
            size = environment(objects, workload).get(f"{own.upper()}_POOL_SIZE")
            default = code[own].settings.model_fields["pool_size"].default
            needed[own] += most_pods(objects, workload) * (
                int(size if size and size.isdigit() else default) + 1
            )
    for database in kinds(objects, "Cluster"):
        limits = {role["name"]: role["connectionLimit"] for role in database["spec"]["managed"]["roles"]}
        for name, count in needed.items():
            if count > limits[f"closeloop_{name}"]:
                yield f"{name}: {count} connections, its role may have {limits[f'closeloop_{name}']}"
        most = int(database["spec"]["postgresql"]["parameters"]["max_connections"])
        if sum(needed.values()) + 20 > most:  # migration, operator, replication, backups, people
            yield f"{sum(needed.values())} connections and 20 for others, max_connections is {most}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_say_what_the_code_says(
    overlay: str, code: Code, bare_environment: pytest.MonkeyPatch
) -> None:
    assert code_faults(render(overlay), code) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_starts_with_the_configuration(overlay: str, tmp_path: Path) -> None:
    file = tmp_path / "closeloop.yaml"
    file.write_text(
        config_map(render(overlay), "closeloop-config")["data"]["closeloop.yaml"], encoding="utf-8"
    )

    for variables_set in (
        {},
        {"CLOSELOOP_ALERTS_URL": "https://a.example/b", "CLOSELOOP_ALERTS_SECRET": f"whsec_{'A' * 32}"},
    ):
        assert mistakes_of_sections(load(file, variables_set)) == []
    assert all(f"${{{name}:-}}" in file.read_text(encoding="utf-8") for name in OF_CHANNELS)


def acl(user: Object, number: int) -> Object:
    result: Object = user["spec"]["authorization"]["acls"][number]
    return result


def set_env(workload: Object, **values: str) -> None:
    for name, value in values.items():
        container(workload)["env"].append({"name": name, "value": value})


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("KafkaTopic", "feedback.scores.v1", lambda it: it["metadata"].update(name="feedback.score.v1")),
        ("KafkaTopic", "feedback.scores.v1", lambda it: it["spec"].update(partitions=12)),
        ("KafkaTopic", "feedback.cases.v1", lambda it: it["spec"]["config"].update({"retention.ms": 1})),
        (
            "KafkaTopic",
            "feedback.scores.v1",
            lambda it: it["spec"]["config"].update({"cleanup.policy": "delete"}),
        ),
        ("KafkaTopic", "feedback.scores.v1", lambda it: it["spec"]["config"].pop("min.insync.replicas")),
        ("KafkaUser", "closeloop-scorer", lambda it: acl(it, 0)["operations"].remove("Read")),
        ("KafkaUser", "closeloop-scorer", lambda it: acl(it, 0)["operations"].append("Write")),
        ("KafkaUser", "closeloop-scorer", lambda it: acl(it, -1)["resource"].update(name="scorer")),
        ("ScaledObject", "scorer-consumer", lambda it: it["spec"].update(maxReplicaCount=PARTITIONS + 1)),
        ("ScaledObject", "scorer-consumer", lambda it: it["spec"].update(minReplicaCount=0)),
        (
            "ScaledObject",
            "scorer-consumer",
            lambda it: it["spec"]["triggers"][0]["metadata"].update(consumerGroup="x"),
        ),
        ("ScaledObject", "scorer-consumer", lambda it: it["spec"]["triggers"].pop()),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_POOLSIZE="8")),
        ("Deployment", "scorer-api", lambda it: set_env(it, NOTIFIER_POOL_SIZE="8")),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_POOL_SIZE="many")),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_PORT="tcp://10.0.0.1:80")),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_HOST="127.0.0.1")),
        ("Deployment", "scorer-api", lambda it: set_env(it, KAFKA_USERNAME="closeloop-notifier")),
        (
            "Deployment",
            "scorer-api",
            lambda it: set_env(it, DATABASE_URL="postgresql://postgres:x@db/closeloop"),
        ),
        ("Deployment", "scorer-api", lambda it: set_env(it, CLOSELOOP_CONFIG="/app/closeloop.yaml")),
        ("Deployment", "scorer-api", lambda it: container(it)["ports"][0].update(containerPort=8080)),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_POOL_SIZE="40")),
        ("Deployment", "scorer-api", lambda it: it["spec"].update(replicas=20)),
        ("Deployment", "scorer-api", lambda it: set_env(it, SCORER_PROCESS_BUFFER_BYTES="104857600")),
        ("Deployment", "scorer-api", lambda it: set_env(it, CLOSELOOP_PROXIES="gateway.example")),
        ("Deployment", "scorer-api", lambda it: pod(it)["containers"][0]["volumeMounts"].pop(1)),
        (
            "Cluster",
            "closeloop-db",
            lambda it: it["spec"]["postgresql"]["parameters"].update(max_connections="100"),
        ),
    ],
)
def test_a_mistake_is_found(
    kind: str,
    name: str,
    change: Callable[[Object], object],
    code: Code,
    bare_environment: pytest.MonkeyPatch,
) -> None:
    objects = render("prod")
    before = code_faults(objects, code)
    change(one(objects, kind, name))

    assert set(code_faults(objects, code)) - set(before)


def test_a_setting_that_nobody_reads_is_found(code: Code, bare_environment: pytest.MonkeyPatch) -> None:
    objects = render("prod")
    config_map(objects, "closeloop-env")["data"]["LOGLEVEL"] = "INFO"

    assert "closeloop-env: nothing reads LOGLEVEL" in code_faults(objects, code)
