"""The whole product on this machine: engines, demo store, services, kept running until told to stop."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

from deploy.local import demo_file, jars, ports
from deploy.local.demo_file import Credentials
from deploy.local.home import SERVICES, Home
from deploy.local.kafka import KafkaNode
from deploy.local.log_follower import LogFollower, Show
from deploy.local.part import Part
from deploy.local.postgres import PostgresServer
from deploy.local.services import PORT_REMEDY, ServiceProcess, service_environment
from deploy.local.supervisor import StopRequested, Supervisor

ENGINES_READY_SECONDS = 90
SERVICES_READY_SECONDS = 60
FOLLOW_INTERVAL_SECONDS = 0.2

Prepare = Callable[..., Awaitable[Credentials]]
MakeServices = Callable[[Home, Mapping[str, str]], Sequence[Part]]


def make_services(home: Home, environment: Mapping[str, str]) -> Sequence[Part]:
    """The four services of the product."""
    return [ServiceProcess(name, home=home, environment=environment) for name in SERVICES]


class Product:
    """One running copy. `prepare` is `demo_store.prepare`; a test stands in for it and for the services."""

    def __init__(
        self,
        home: Home,
        *,
        say: Callable[[str], None],
        show: Show,
        prepare: Prepare,
        environment: Mapping[str, str] = os.environ,
        services: MakeServices = make_services,
    ) -> None:
        self.home = home
        self._say = say
        self._show = show
        self._environment = environment
        self._prepare = prepare
        self._make_services = services
        self._kafka = self._own_kafka()
        self._postgres = self._own_postgres()
        self.kafka_bootstrap = (
            self._kafka.bootstrap if self._kafka else environment["KAFKA_BOOTSTRAP_SERVERS"]
        )
        self.database_url = self._postgres.url if self._postgres else environment["DATABASE_URL"]
        self.credentials: Credentials | None = None
        self.undecided: dict[str, list[str]] = {}
        """Why services wait for `closeloop topics adopt`, by their name; empty after an ordinary start."""
        self._is_up = False
        self._supervisor = Supervisor(say=say, restarted=self._publish)

    def fetch(self) -> None:
        """Get what is not here yet. Apart from `run`, so that Ctrl-C ends a long download at once."""
        if self._kafka:
            jars.ensure()

    async def run(self, on_ready: Callable[["Product"], None]) -> None:
        """Start everything, call `on_ready`, stay until a signal, stop everything.

        The home must be locked. LocalStackError if a part does not start; what has started is stopped.
        """
        known = demo_file.known_credentials(self.home)
        demo_file.withdraw(self.home)
        self._supervisor.handle_signals()
        engines: list[Part] = [part for part in (self._kafka, self._postgres) if part]
        services = self._make_services(self.home, self._service_environment())
        logs = LogFollower({part.name: part.log for part in (*engines, *services)}, show=self._show)
        following = asyncio.create_task(_follow(logs))
        try:
            await self._start(engines, services, known)
            on_ready(self)
            await self._supervisor.until_stopped()
        except StopRequested:
            pass
        finally:
            self._say("Stopping; the data is kept")
            await self._supervisor.stop()
            demo_file.withdraw(self.home)
            following.cancel()
            logs.poll()

    async def _start(
        self, engines: Sequence[Part], services: Sequence[Part], known: Credentials | None
    ) -> None:
        for part in (*services, *engines):
            await asyncio.to_thread(part.end_leftover)
        # Found out before the engines have started, not after.
        for name in SERVICES:
            ports.require_free(self.home.port(name), name, remedy=PORT_REMEDY)
        if engines:
            self._say(f"Starting {' and '.join(part.name for part in engines)}")
        await self._supervisor.start(engines, ready_seconds=ENGINES_READY_SECONDS)
        self._say("Preparing topics, schemas and the demo store")
        preparing = self._prepare(
            kafka_bootstrap=self.kafka_bootstrap,
            database_url=self.database_url,
            root_secret=self.home.secret(self._environment),
            known=known,
        )
        self.credentials = await self._supervisor.unless_stopped(preparing)
        self._say(f"Starting {', '.join(part.name for part in services)}")
        await self._supervisor.start(services, ready_seconds=SERVICES_READY_SECONDS)
        for part in services:
            if isinstance(part, ServiceProcess) and (why := await asyncio.to_thread(part.undecided)):
                self.undecided[part.name] = why
        self._is_up = True
        self._publish()

    def _own_kafka(self) -> KafkaNode | None:
        if self._environment.get("KAFKA_BOOTSTRAP_SERVERS"):
            return None
        home = self.home
        return KafkaNode(home.root / "kafka", log=home.log("kafka"), pid_file=home.pid_file("kafka"))

    def _own_postgres(self) -> PostgresServer | None:
        if self._environment.get("DATABASE_URL"):
            return None
        home = self.home
        return PostgresServer(
            home.root / "postgres", log=home.log("postgres"), pid_file=home.pid_file("postgres")
        )

    def _service_environment(self) -> dict[str, str]:
        return service_environment(
            self.home,
            kafka_bootstrap=self.kafka_bootstrap,
            database_url=self.database_url,
            environment=self._environment,
        )

    def _publish(self) -> None:
        if self.credentials is None or not self._is_up:
            return
        demo_file.publish(
            self.home,
            credentials=self.credentials,
            kafka_bootstrap=self.kafka_bootstrap,
            database_url=self.database_url,
            pids=self._supervisor.pids,
        )


async def _follow(logs: LogFollower) -> None:
    while True:
        logs.poll()
        await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
