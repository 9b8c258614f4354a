"""The composition root of the notifier: everything is born and ended here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.notifier.api import routes
from services.notifier.channels import Sender
from services.notifier.handlers import Handlers
from services.notifier.jobs import Clock, DeliveryLoop
from services.notifier.settings import NotifierSettings, alerts_of
from shared import config as configuration
from shared.config import Config
from shared.config.secrets import Secrets
from shared.events import Event
from shared.events.topics import CUSTOMERS, RESPONSES
from shared.kafka import Handler
from shared.ops.loops import Loops
from shared.ops.runtime import Runtime
from shared.ops.serving import Only
from shared.ops.settings import PlatformSettings
from shared.web import standard_app
from shared.web.door import open_to_people
from shared.web.pages import Pages
from shared.web.people import People


def build_handlers(config: Config, _: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them."""
    return Handlers(alerts_of(config), config.version).table()


def build(
    platform: PlatformSettings, settings: NotifierSettings, loops: Loops, only: Only | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    alerts = alerts_of(config)
    runtime = Runtime("notifier", platform, settings, config, loops=loops, only=only)
    sender = Sender(
        connections=settings.sends_in_flight,
        connect_seconds=settings.connect_timeout_seconds,
        total_seconds=settings.send_timeout_seconds,
        allow_private=settings.allow_private_targets,
    )
    deliveries = DeliveryLoop(runtime.database, sender, alerts, settings)
    ring_relay = runtime.relay("relay")
    runtime.job("deliveries", deliveries)
    runtime.job("clock", Clock(runtime.database, alerts))

    handlers = Handlers(alerts, config.version)

    def ring() -> None:
        deliveries.ring()
        ring_relay()

    def committed() -> None:
        if handlers.wrote():
            ring()

    runtime.consume(
        (RESPONSES, CUSTOMERS),
        handlers.table(),
        on_commit=committed,
        batch_records=settings.batch_records,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with sender, runtime.running():
            yield

    app = standard_app(
        "notifier",
        "Unhappy customers as cases with clocks, and the alerts that were sent about them.",
        lifespan=lifespan,
        listen=settings,
        health=runtime.health,
    )
    if only != "consumer":
        app.include_router(routes(runtime.database, ring))
        people = People(runtime.database, runtime.people(), runtime.secrets)
        open_to_people(app, Pages(people=people, stores=config.stores, current="inbox"))
    return app
