"""docs/deploy.md: its overlay, its secrets and its commands are those that the manifests want."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from cli.main import build
from tests.deploy.manifests import (
    K8S,
    KUBECTL,
    PROJECT,
    Object,
    config_map,
    container,
    kinds,
    name_of,
    one,
    read,
    render,
    workloads,
)

TEXT = (PROJECT / "docs/deploy.md").read_text(encoding="utf-8")
ADDRESS = "https://feedback.shop.example"


def blocks(language: str = "") -> list[str]:
    return [
        body for kind, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```", TEXT, re.M | re.S) if kind == language
    ]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """What the overlay of the page renders to, in a folder beside a checkout."""
    return rendered(tmp_path_factory.mktemp("beside"))


def rendered(folder: Path, more: str = "") -> list[Object]:
    shutil.copytree(K8S, folder / "closeloop/deploy/k8s")
    mine = folder / "our-closeloop"
    mine.mkdir()
    (overlay,) = (block for block in blocks("yaml") if "kind: Kustomization" in block)
    (mine / "kustomization.yaml").write_text(overlay.replace("DIGEST", "a" * 64) + more, encoding="utf-8")
    stores = (K8S / "base/closeloop.yaml").read_text(encoding="utf-8")
    (mine / "closeloop.yaml").write_text(stores.replace("name: Shop", "name: Our shop"), encoding="utf-8")
    done = subprocess.run(
        [KUBECTL, "kustomize", mine], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return [document for document in read(done.stdout) if document]


class TestTheOverlayOfThePage:
    def test_adds_nothing_and_loses_nothing(self, ours: list[Object]) -> None:
        def names(objects: list[Object]) -> list[tuple[str, str]]:
            return sorted(
                (thing["kind"], re.sub("-([a-z0-9]{10}|VERSION|0.0.0)$", "", name_of(thing)))
                for thing in objects
            )

        assert names(ours) == names(render("prod"))

    def test_sets_the_image_of_every_pod_of_ours(self, ours: list[Object]) -> None:
        images = {container(workload)["image"] for workload in kinds(ours, "Deployment", "Job")}
        assert images == {f"REGISTRY/closeloop:VERSION@sha256:{'a' * 64}"}

    def test_gives_every_pod_the_stores_and_the_address(self, ours: list[Object]) -> None:
        assert "name: Our shop" in config_map(ours, "closeloop-config")["data"]["closeloop.yaml"]
        settings = config_map(ours, "closeloop-env")
        assert (
            settings["data"].items() >= {"NOTIFIER_PUBLIC_URL": ADDRESS, "NOTIFIER_SMTP_PORT": "587"}.items()
        )
        assert settings["data"].keys() >= config_map(render("prod"), "closeloop-env")["data"].keys()
        for workload in kinds(ours, "Deployment"):
            sources = [
                source.get("configMapRef", {}).get("name") for source in container(workload)["envFrom"]
            ]
            assert name_of(settings) in sources, name_of(workload)

    def test_leaves_no_placeholder_of_the_manifests(self, ours: list[Object]) -> None:
        (listener,) = one(ours, "Gateway", "closeloop")["spec"]["listeners"]
        assert f"https://{listener['hostname']}" == ADDRESS
        assert one(ours, "Gateway", "closeloop")["spec"]["gatewayClassName"] == "CLASS"
        archive = one(ours, "ObjectStore", "closeloop-backups")["spec"]["configuration"]
        assert archive["destinationPath"] == "s3://BUCKET/"
        assert "closeloop.example" not in str(ours)
        assert "0" * 64 not in str(ours)

    def test_lets_the_notifier_reach_the_mail_server(self, ours: list[Object]) -> None:
        data = one(ours, "ExternalSecret", "closeloop-channels")["spec"]["data"]
        assert "NOTIFIER_SMTP_PASSWORD" in [entry["secretKey"] for entry in data]
        egress = one(ours, "NetworkPolicy", "alerts-out")["spec"]["egress"]
        assert {"protocol": "TCP", "port": 465} in egress[-1]["ports"]


def test_a_restore_reads_one_archive_and_writes_another(tmp_path: Path) -> None:
    (patch,) = (block for block in blocks("yaml") if "recovery:" in block)
    database = one(rendered(tmp_path, patch), "Cluster", "closeloop-db")["spec"]
    recovery, (before,) = database["bootstrap"]["recovery"], database["externalClusters"]
    made = one(render("prod"), "Cluster", "closeloop-db")["spec"]["bootstrap"]["initdb"]

    assert recovery.items() >= {key: made[key] for key in ("database", "owner", "secret")}.items()
    assert recovery["source"] == before["name"]
    assert "initdb" not in database["bootstrap"]
    (archive,) = database["plugins"]
    read, written = before["plugin"]["parameters"], archive["parameters"]
    assert before["plugin"]["name"] == archive["name"]
    assert read["barmanObjectName"] == written["barmanObjectName"]
    assert read["serverName"] == "closeloop-db" != written["serverName"]


def test_takes_the_component_for_traces_as_the_page_writes_it(tmp_path: Path) -> None:
    (written,) = re.findall(r"`(components: \[[^`]+\])`", TEXT)
    ours = rendered(tmp_path, written + "\n")
    settings = config_map(ours, "closeloop-env")["data"]
    assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(":4318")
    assert settings["NOTIFIER_PUBLIC_URL"] == ADDRESS
    assert len(kinds(ours, "NetworkPolicy")) > len(kinds(render("prod"), "NetworkPolicy"))


def test_names_each_key_of_the_secret_store() -> None:
    told = set(re.findall(r"`(closeloop/[\w-]+)`", TEXT))
    wanted = {
        entry["remoteRef"]["key"]
        for secret in kinds(render("prod"), "ExternalSecret")
        for entry in secret["spec"]["data"]
    }
    assert told == wanted


def test_makes_by_hand_each_secret_that_the_dev_overlay_asks_for(tmp_path: Path) -> None:
    """The block is run by a shell, with `kubectl` in its place saying what it was told."""
    (block,) = (block for block in blocks() if "secret generic closeloop-root" in block)
    done = subprocess.run(
        ["bash", "-euc", 'kubectl() { printf "%s " "$@"; echo; }\n' + block],
        check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    made = set(re.findall(r"create secret generic (\S+)", done.stdout))
    text = str(render("dev"))
    by_engines = {
        f"closeloop-{name}" for name in ("collector", "scorer", "segmenter", "notifier", "operator")
    }
    asked = set(re.findall(r"'secretKeyRef': \{[^}]*'name': '([\w-]+)'", text))
    assert made >= asked - by_engines
    assert made >= set(re.findall(r"'secretRef': \{'name': '([\w-]+)'", text))
    assert re.search(r"closeloop-root --from-literal=secret=[0-9a-f]{48}\b", done.stdout)


OURS = re.compile(r"(?:-- |exec \w+ |--entrypoint )closeloop (?:\S+[:@]\S+ )?([a-z].*)$", re.MULTILINE)


@pytest.mark.parametrize("line", sorted({line for block in blocks() for line in OURS.findall(block)}))
def test_tells_commands_of_ours_that_there_are(line: str) -> None:
    words = shlex.split(line, comments=True)
    command = typer.main.get_command(build([words[0]])).commands[words[0]]  # type: ignore[attr-defined]
    if words[1:] and words[1] in getattr(command, "commands", {}):
        command, words = command.commands[words[1]], words[1:]
    context = command.make_context("closeloop", words[1:], resilient_parsing=True)
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}
    assert context.params is not None


def test_names_workloads_that_there_are() -> None:
    names = {name_of(workload).replace("0.0.0", "VERSION") for workload in workloads(render("prod"))}
    for name in re.findall(r"kubectl .* (?:deploy|job)/([\w-]+)", TEXT):
        assert name in names, name
