"""Kafka and PostgreSQL together, for tests and for anything that wants just the two."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from deploy.local.kafka import KafkaNode
from deploy.local.postgres import PostgresServer


class LocalStack:
    """Both engines below one folder. The verbs block; a restart keeps addresses and data.

    `fsync` is PostgreSQL's: see there. Kafka leaves it to the operating system in any case.
    """

    def __init__(self, home: Path, *, fsync: bool = True) -> None:
        self.home = home.resolve()
        logs = self.home / "logs"
        self.kafka = KafkaNode(self.home / "kafka", log=logs / "kafka.log")
        self.postgres = PostgresServer(self.home / "postgres", log=logs / "postgres.log", fsync=fsync)

    def start(self, *, timeout_seconds: float = 90) -> None:
        """Start both at once and wait until both are ready."""
        with ThreadPoolExecutor(2) as pool:
            waits = [pool.submit(_bring_up, part, timeout_seconds) for part in (self.kafka, self.postgres)]
        try:
            for wait in waits:
                wait.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both at once and keep the data."""
        with ThreadPoolExecutor(2) as pool:
            for stopping in [pool.submit(part.stop) for part in (self.kafka, self.postgres)]:
                stopping.result()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _bring_up(part: KafkaNode | PostgresServer, timeout_seconds: float) -> None:
    part.start()
    part.wait_ready(timeout_seconds)
