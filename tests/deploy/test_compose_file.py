"""compose.yaml: what it says fits its schema, the code, and the files that it mounts."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from shared.ops.settings import PlatformSettings
from shared.pages.cookies import PageSettings
from tests.deploy.built_services import Service
from tests.deploy.manifests import PROJECT, SECRET_VALUE, SERVICES, read
from tests.deploy.test_manifests_code import variables

FOLDER = PROJECT / "deploy/docker"
SCHEMA = json.loads((Path(__file__).parent / "schemas/compose.json").read_text())
ENGINES = {"kafka": "apache/kafka:4.3.1", "postgres": "postgres:18"}
OBSERVING = ("prometheus", "alertmanager", "grafana")


def compose() -> dict[str, Any]:
    """The file with its anchors resolved, its `${…}` not; a key that stands twice raises."""
    (document,) = read((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return dict(document)


def compose_faults(file: dict[str, Any], code: dict[str, Service]) -> list[str]:
    faults = [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(file)
    ]
    services = file["services"]
    wanted = {*ENGINES, "topics", "migrate", *SERVICES, *OBSERVING}
    if set(services) != wanted:
        faults.append(f"services: {sorted(set(services) ^ wanted)}")
    for name, service in services.items():
        for other, on in service.get("depends_on", {}).items():
            if other not in services:
                faults.append(f"{name}: waits for {other}, which is not there")
            elif on["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                faults.append(f"{name}: waits for {other}, which never says that it is healthy")
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (FOLDER / source).exists() or not volume.endswith(":ro"):
                    faults.append(f"{name}: {source} is not there, or may be written")
            elif source not in file["volumes"]:
                faults.append(f"{name}: there is no volume {source}")
        if name not in ("topics", "migrate") and "healthcheck" not in service:
            faults.append(f"{name}: nobody knows whether it is healthy")
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|DATABASE_URL", key) and not re.search(
                r"\$\{\w+:[?-]\w*", str(value)
            ):
                faults.append(f"{name}: {key} has a value in the file")
    for name, image in ENGINES.items():
        if services[name]["image"] != image:
            faults.append(f"{name}: another version than the one that the tests run with")
    return faults + [
        fault for name in SERVICES for fault in _service_faults(name, services[name], code[name])
    ]


def _service_faults(name: str, service: dict[str, Any], code: Service) -> list[str]:
    faults = []
    known = variables(PlatformSettings) | variables(PageSettings) | variables(code.settings)
    shared = {f"{other.upper()}_HOST" for other in SERVICES}
    channels = set(re.findall(r"\$\{(\w+)", (PROJECT / "closeloop.yaml").read_text(encoding="utf-8")))
    for variable in service["environment"].keys() - known - shared - channels:
        faults.append(f"{name}: nothing reads {variable}")
    if service["command"] != [f"services.{name}", "serve"]:
        faults.append(f"{name}: runs something else")
    with pytest.MonkeyPatch.context() as patch:
        for key, value in service["environment"].items():
            patch.setenv(
                key,
                re.sub(r"\$\{(\w+):-([^}]*)\}|\$\{\w+:\?[^}]*\}", lambda m: m[2] or SECRET_VALUE, str(value)),
            )
        try:
            platform, settings = PlatformSettings(), code.settings()
        except ValueError as error:
            return [*faults, f"{name}: {error}"]
    if service["ports"] != [f"127.0.0.1:{settings.port}:{settings.port}"] or settings.host != "0.0.0.0":
        faults.append(f"{name}: cannot be reached")
    if f":{settings.port}/readyz" not in str(service.get("healthcheck")):
        faults.append(f"{name}: its health is asked elsewhere")
    targets = [volume.split(":")[1] for volume in service["volumes"]]
    if str(platform.closeloop_config) not in targets:
        faults.append(f"{name}: has no configuration")
    if (
        platform.kafka_bootstrap_servers != "kafka:9092"
        or "@postgres:5432/" not in platform.database_url.get_secret_value()
    ):
        faults.append(f"{name}: uses other engines")
    if int(service["stop_grace_period"].removesuffix("s")) < platform.stop_grace_seconds + 5:
        faults.append(f"{name}: is killed while it stops")
    return faults


def test_it_fits(code: dict[str, Service], bare_environment: pytest.MonkeyPatch) -> None:
    assert compose_faults(compose(), code) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["scorer"].update(prots=[]),
        lambda services: services["scorer"].update(ports=["8002:8002"]),
        lambda services: services["scorer"].update(ports=["127.0.0.1:8003:8003"]),
        lambda services: services["scorer"].update(read_only=False),
        lambda services: services["scorer"].pop("cap_drop"),
        lambda services: services["scorer"].pop("healthcheck"),
        lambda services: services["scorer"].update(stop_grace_period="5s"),
        lambda services: services["scorer"].update(command=["services.notifier", "serve"]),
        lambda services: services["scorer"].update(volumes=[]),
        lambda services: services["scorer"]["environment"].update(SCORER_POOLSIZE=8),
        lambda services: services["scorer"]["environment"].update(SCORER_POOL_SIZE="many"),
        lambda services: services["scorer"]["environment"].update(CLOSELOOP_SECRET="a" * 40),
        lambda services: services["scorer"]["environment"].update(KAFKA_BOOTSTRAP_SERVERS="kafka:29092"),
        lambda services: services["scorer"]["depends_on"].update(migrations={"condition": "service_started"}),
        lambda services: services["postgres"].update(image="postgres:17"),
        lambda services: services["prometheus"]["volumes"].append(
            "../prometheus/other.yml:/etc/other.yml:ro"
        ),
        lambda services: services.pop("topics"),
    ],
)
def test_a_mistake_is_found(
    change: Callable[[dict[str, Any]], object], code: dict[str, Service], bare_environment: pytest.MonkeyPatch
) -> None:
    file = json.loads(json.dumps(compose()))
    before = compose_faults(file, code)
    change(file["services"])

    assert set(compose_faults(file, code)) - set(before)


class TestExample:
    """`.env.example`, which people copy."""

    def names(self) -> dict[str, str]:
        lines = (FOLDER / ".env.example").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def test_it_has_no_secret_in_it(self) -> None:
        assert set(self.names().values()) == {""}

    def test_it_names_everything_that_the_file_asks_for(self) -> None:
        asked = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text(encoding="utf-8")))

        assert set(self.names()) == asked

    def test_the_file_cannot_be_used_without_it(self, need: Callable[..., None], tmp_path: Path) -> None:
        need("podman")
        (tmp_path / "none").write_text("")

        assert _config(tmp_path / "none").returncode != 0

    def test_podman_compose_reads_the_file(self, need: Callable[..., None], tmp_path: Path) -> None:
        need("podman")
        (tmp_path / "env").write_text("".join(f"{name}={SECRET_VALUE}\n" for name in self.names()))
        done = _config(tmp_path / "env")

        assert done.returncode == 0, done.stderr
        assert yaml.safe_load(done.stdout)["services"].keys() == compose()["services"].keys()


def _config(env_file: Path) -> "subprocess.CompletedProcess[str]":
    command = [PROJECT / ".venv/bin/podman-compose", "--env-file", env_file]
    return subprocess.run(
        [*command, "-f", FOLDER / "compose.yaml", "config"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
