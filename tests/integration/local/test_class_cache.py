"""A broker starts from the archive of its classes, and starts as well where there is none."""

import psutil
import pytest

from deploy.local import class_cache, jars, kafka
from deploy.local.kafka import KafkaNode


def archives(node: KafkaNode) -> list[str]:
    """The archive that the running broker reads its classes from."""
    assert node.pid is not None
    return [file.path for file in psutil.Process(node.pid).memory_maps() if file.path.endswith(".aot")]


class TestArchive:
    def test_is_made_once_and_every_broker_reads_it(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        class_cache.ensure()
        archive = class_cache.path(jars.ensure())
        made = archive.stat().st_mtime_ns
        class_cache.ensure()
        assert archive.stat().st_mtime_ns == made
        node = KafkaNode(tmp_path_factory.mktemp("kafka"))
        node.start()
        try:
            node.wait_ready()
            assert archives(node) == [str(archive)]
        finally:
            node.stop()

    def test_is_not_asked_for_where_there_is_none(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        command = kafka.java(tmp_path_factory.mktemp("jars"), "kafka.Kafka")
        assert not [word for word in command if "AOTCache" in word]
        assert set(class_cache.SETTINGS) <= set(command)
