"""Two versions of an overlay: the second apply changes nothing that Kubernetes lets nobody change."""

import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.deploy.manifests import (
    K8S,
    KUBECTL,
    OVERLAYS,
    PROJECT,
    Object,
    container,
    kinds,
    name_of,
    read,
    workloads,
)

IMMUTABLE = {
    "Deployment": [("spec", "selector")],
    "Job": [("spec", "template"), ("spec", "selector"), ("spec", "completions"), ("spec", "completionMode")],
    "StatefulSet": [("spec", "selector"), ("spec", "volumeClaimTemplates"), ("spec", "serviceName")],
    "PersistentVolumeClaim": [("spec",)],
    "Service": [("spec", "clusterIP")],
    "RoleBinding": [("roleRef",)],
    "ClusterRoleBinding": [("roleRef",)],
    "Secret": [("type",)],
    "StorageClass": [("parameters",), ("provisioner",), ("reclaimPolicy",)],
}
"""What the API server refuses to change in an object of the same name, by kind."""


def applied(overlay: str, folder: Path, image: str) -> subprocess.CompletedProcess[str]:
    """What `kubectl kustomize` makes of somebody's own overlay over one of ours. `image`: as in `images`."""
    named = {"dev": "closeloop"}.get(overlay, "ghcr.io/closeloop/closeloop")
    (folder / "kustomization.yaml").write_text(
        f"""apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: closeloop
resources: [{os.path.relpath(K8S / "overlays" / overlay, folder)}]
images: [{{name: {named}, {image}}}]
transformers: [{os.path.relpath(K8S / "release", folder)}]
""",
        encoding="utf-8",
    )
    return subprocess.run(
        [KUBECTL, "kustomize", folder], check=False, capture_output=True, text=True, timeout=60
    )


def rendered(overlay: str, folder: Path, image: str) -> list[Object]:
    done = applied(overlay, folder, image)
    assert done.returncode == 0, done.stderr
    return [document for document in read(done.stdout) if document]


def refusals(before: list[Object], after: list[Object]) -> Iterator[str]:
    """The fields that an apply of `after` over `before` would change and may not."""
    old = {(thing["kind"], name_of(thing)): thing for thing in before}
    for thing in after:
        former = old.get((thing["kind"], name_of(thing)))
        if former is None:
            continue
        if former.get("immutable") and former != thing:
            yield f"{thing['kind']} {name_of(thing)}"
        for path in IMMUTABLE.get(thing["kind"], ()):
            if _at(former, path) != _at(thing, path):
                yield f"{thing['kind']} {name_of(thing)}: {'.'.join(path)}"


def _at(thing: Object, path: tuple[str, ...]) -> object:
    value: object = thing
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


IMAGES = (
    ("newTag: 1.4.0", "1.4.0"),
    (
        "newName: localhost:5000/team/closeloop, newTag: 1.5.0-rc.1, digest: 'sha256:" + "b" * 64 + "'",
        "1.5.0-rc.1",
    ),
    ("newTag: 2026-12-01-a1b2c3d", "2026-12-01-a1b2c3d"),
)
"""What somebody writes for their image, and the version in it."""


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestAnUpgrade:
    def test_can_be_applied_over_the_version_before(self, overlay: str, tmp_path: Path) -> None:
        (first, _), (second, _), (third, _) = IMAGES
        versions = [rendered(overlay, tmp_path, image) for image in (first, second, third, first)]
        for before, after in pairwise(versions):
            assert list(refusals(before, after)) == []

    def test_migrates_under_the_name_of_its_version(self, overlay: str, tmp_path: Path) -> None:
        for image, version in IMAGES:
            objects = rendered(overlay, tmp_path, image)
            (job,) = kinds(objects, "Job")
            assert name_of(job) == f"closeloop-migrate-{version}"
            assert len(name_of(job)) <= 63
            assert job["metadata"]["labels"]["app.kubernetes.io/version"] == version
            assert {container(workload)["image"] for workload in workloads(objects)} == {
                container(job)["image"]
            }

    @pytest.mark.parametrize(
        "image", ["newName: shop/feedback, newTag: 1.4.0", "digest: 'sha256:" + "a" * 64 + "', newTag: ''"]
    )
    def test_without_a_version_is_no_manifest(self, overlay: str, image: str, tmp_path: Path) -> None:
        done = applied(overlay, tmp_path, image)
        assert done.returncode != 0
        assert "options.index 1 is out of bounds for value" in done.stderr

    def test_that_is_a_number_is_no_manifest(self, overlay: str, tmp_path: Path) -> None:
        done = applied(overlay, tmp_path, "newTag: 1.10")
        assert done.returncode != 0
        assert "cannot unmarshal number into Go struct field Image.images.newTag" in done.stderr
        assert name_of(kinds(rendered(overlay, tmp_path, 'newTag: "1.10"'), "Job")[0]).endswith("-1.10")


def test_the_page_has_the_errors_of_the_build_as_they_are_said() -> None:
    page = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert "| `options.index 1 is out of bounds for value …` |" in page
    assert "| `cannot unmarshal number into Go struct field Image.images.newTag` |" in page


class TestWhatGitOpsReads:
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_the_job_is_a_hook_that_cleans_itself_up(self, overlay: str, tmp_path: Path) -> None:
        (job,) = kinds(rendered(overlay, tmp_path, "newTag: 1.4.0"), "Job")
        assert job["metadata"]["annotations"] == {
            "argocd.argoproj.io/hook": "Sync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
            "kustomize.toolkit.fluxcd.io/force": "enabled",
        }
        assert 0 < job["spec"]["ttlSecondsAfterFinished"] <= 86400


def test_a_job_of_the_same_name_would_be_found(tmp_path: Path) -> None:
    before, after = (rendered("prod", tmp_path, image) for image, _ in IMAGES[:2])
    (former,), (job,) = kinds(before, "Job"), kinds(after, "Job")
    job["metadata"]["name"] = name_of(former)
    assert list(refusals(before, after)) == [f"Job {name_of(former)}: spec.template"]
