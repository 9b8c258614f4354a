"""The broker's jars come from the lock or not at all."""

import hashlib
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import LocalStackError
from deploy.local.jars import Jar

CONTENT = b"a jar"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "two.lock"
    digest = hashlib.sha256(CONTENT).hexdigest()
    path.write_text(f"# two jars\norg.a:one:1.0 {digest}\norg.b:two:2.0 {digest}\n")
    return path


def serve(content: bytes = CONTENT):
    """A registry that has every jar, with this content; `.asked` counts."""

    def fetch(jar: Jar, scratch: Path) -> Path:
        fetch.asked += 1
        path = scratch / f"from-registry-{jar.artifact}"
        path.write_bytes(content)
        return path

    fetch.asked = 0
    return fetch


class TestEnsure:
    def test_fetches_each_jar_of_the_lock(self, tmp_path: Path, lock: Path) -> None:
        folder = jars.ensure(tmp_path / "cache", lock=lock, fetch=serve())

        assert sorted(path.name for path in folder.glob("*.jar")) == ["one-1.0.jar", "two-2.0.jar"]

    def test_asks_nobody_when_all_are_there(self, tmp_path: Path, lock: Path) -> None:
        registry = serve()
        jars.ensure(tmp_path / "cache", lock=lock, fetch=registry)
        jars.ensure(tmp_path / "cache", lock=lock, fetch=registry)

        assert registry.asked == 2

    def test_fetches_again_only_what_was_lost(self, tmp_path: Path, lock: Path) -> None:
        folder = jars.ensure(tmp_path / "cache", lock=lock, fetch=serve())
        (folder / "two-2.0.jar").unlink()
        registry = serve()
        jars.ensure(folder, lock=lock, fetch=registry)

        assert registry.asked == 1

    def test_a_jar_with_another_sum_is_refused_and_not_kept(self, tmp_path: Path, lock: Path) -> None:
        with pytest.raises(LocalStackError, match="is not the one of the lock") as refused:
            jars.ensure(tmp_path / "cache", lock=lock, fetch=serve(b"another jar"))

        assert "Do not use it" in refused.value.remedy
        assert list((tmp_path / "cache").glob("*.jar")) == []
        assert not jars.are_present(tmp_path / "cache", jars.read_lock(lock))

    def test_an_unreachable_registry_is_one_clear_sentence(self, tmp_path: Path, lock: Path) -> None:
        def unreachable(jar: Jar, scratch: Path) -> Path:
            raise ConnectionError("no route to host")

        with pytest.raises(LocalStackError, match="the registry cannot be reached") as failed:
            jars.ensure(tmp_path / "cache", lock=lock, fetch=unreachable)

        assert "KAFKA_BOOTSTRAP_SERVERS" in failed.value.remedy

    def test_a_new_lock_is_noticed(self, tmp_path: Path, lock: Path) -> None:
        folder = jars.ensure(tmp_path / "cache", lock=lock, fetch=serve())
        lock.write_text(lock.read_text().replace("org.b:two:2.0", "org.b:two:3.0"))

        assert not jars.are_present(folder, jars.read_lock(lock))


class TestTheCheckedInLock:
    def test_has_the_broker_and_its_clients_in_one_version(self) -> None:
        kafka = {jar.artifact: jar.version for jar in jars.read_lock() if jar.group == "org.apache.kafka"}

        assert kafka["kafka_2.13"] == kafka["kafka-clients"] == "4.3.1"

    def test_names_46_jars_with_a_sum_each(self) -> None:
        locked = jars.read_lock()

        assert len({jar.file_name for jar in locked}) == 46
        assert all(len(jar.sha256) == 64 for jar in locked)
