"""The embedded Kafka: starts, keeps its address and its data, survives kill -9."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.kafka import KafkaNode
from deploy.local.kafka_probe import alive_brokers


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    node = KafkaNode(tmp_path_factory.mktemp("kafka"))
    node.start()
    node.wait_ready()
    yield node
    node.stop()


class TestKafkaNode:
    def test_is_a_live_broker_of_its_cluster(self, node: KafkaNode) -> None:
        host, port = node.bootstrap.split(":")

        assert alive_brokers(host, int(port)) == [1]

    def test_restarts_on_the_same_address_after_kill_9(self, node: KafkaNode) -> None:
        address, pid = node.bootstrap, node.pid
        node.kill()
        assert node.pid is None
        assert node.exit_code == -9
        node.start()
        node.wait_ready()

        assert node.bootstrap == address
        assert node.pid != pid

    def test_pausing_leaves_the_process_and_stops_the_answers(self, node: KafkaNode) -> None:
        node.pause()
        paused = node.pid is not None and not node.is_ready()
        node.resume()
        node.wait_ready(30)

        assert paused

    def test_a_second_object_finds_the_address_and_ends_the_leftover(self, node: KafkaNode) -> None:
        left_over = node.pid
        successor = KafkaNode(node.data)
        successor.start()
        successor.wait_ready()
        try:
            assert successor.bootstrap == node.bootstrap
            assert left_over is not None
            assert not psutil.pid_exists(left_over)
        finally:
            successor.stop()
            node.start()
            node.wait_ready()

    def test_stop_takes_the_process_away(self, tmp_path: Path, node: KafkaNode) -> None:
        pid = node.pid
        node.stop()

        assert pid is not None
        assert not psutil.pid_exists(pid)
        node.start()
        node.wait_ready()
