"""The composition root of the notifier: everything is born and ended here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.notifier import inbox
from services.notifier.cases import api as cases_api
from services.notifier.cases.casework import Casework
from services.notifier.cases.jobs import Clock
from services.notifier.cases.store.erasing import drop_orphans
from services.notifier.channels import api as channels_api
from services.notifier.channels.lanes import lanes_of
from services.notifier.channels.message import Shop
from services.notifier.channels.outlets import Outlets, mail_mistakes, template_mistakes
from services.notifier.channels.restoring import RestoreCheck
from services.notifier.channels.sending import DeliveryLoop
from services.notifier.handlers import Handlers
from services.notifier.report import api as report_api
from services.notifier.report.gauges import CaseFigures
from services.notifier.report.jobs import WeeklyReport
from services.notifier.report.page import report_routes
from services.notifier.report.tell_page import tell_routes
from services.notifier.settings import Alerts, NotifierSettings, alerts_of
from services.notifier.watch.handlers import ScoreSamples
from services.notifier.watch.jobs import Watch
from shared import config as configuration
from shared.config import Config, ConfigError
from shared.config.secrets import Secrets
from shared.events import Event
from shared.events.scores import ScoreChanged
from shared.events.topics import CUSTOMERS, ERASURES, RESPONSES, SCORES
from shared.http import standard_app
from shared.jobs.rounds import AgeOutJob
from shared.kafka import Handler
from shared.ops.settings import PlatformSettings
from shared.pages.door import open_to_people
from shared.pages.pages import Pages
from shared.pages.people import People
from shared.service.runtime import Runtime
from shared.service.serving import Loops, Only


def build_handlers(config: Config, _: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them."""
    alerts = alerts_of(config)
    return Handlers(alerts, config.version).table() | _watching(config, alerts)


def _watching(config: Config, alerts: Mapping[str, Alerts]) -> dict[type[Event], Handler]:
    """The handler of published scores."""
    zones = {key: store.zone for key, store in config.stores.items()}
    return {ScoreChanged: ScoreSamples(alerts, zones).apply}


def _count_and_watch(runtime: Runtime, config: Config, alerts: Mapping[str, Alerts]) -> None:
    """The jobs that one replica does at a time."""
    teams = {team for section in alerts.values() for team in section.teams}
    runtime.job("figures", CaseFigures(runtime.database, teams))
    runtime.job("watch", Watch(runtime.database, alerts, config.stores))
    runtime.job("orphans", AgeOutJob(runtime.database, drop_orphans, "orphans"))
    runtime.job("weekly", WeeklyReport(runtime.database, alerts, config.stores))


def _check_channels(config: Config, alerts: Mapping[str, Alerts], settings: NotifierSettings) -> None:
    """Raises ConfigError."""
    mistakes = list(mail_mistakes(config, alerts, settings))
    for store, section in alerts.items():
        mistakes += template_mistakes(config, store, section)
    if mistakes:
        raise ConfigError(config.path, mistakes)


def build(
    platform: PlatformSettings, settings: NotifierSettings, loops: Loops, only: Only | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    alerts = alerts_of(config)
    _check_channels(config, alerts, settings)
    runtime = Runtime("notifier", platform, settings, config, loops=loops, only=only)
    channels = {
        (store, name): channel
        for store, section in alerts.items()
        for name, channel in section.targets.items()
    }
    shops = {
        key: Shop(key, store.name, store.zone, settings.base_url) for key, store in config.stores.items()
    }
    outlets = Outlets(channels, settings, config.path.parent)
    lanes = lanes_of(channels, outlets, shops, retry_scale=settings.retry_scale)
    deliveries = DeliveryLoop(runtime.database, lanes, shops, settings)
    # Before the consumer tells Kafka where it is now: that is what it would be compared with.
    restored = RestoreCheck(runtime.database, runtime.brokers, "closeloop-notifier")
    runtime.look_first("the look for a restore", restored.look)
    ring_relay = runtime.relay("relay")
    runtime.job("deliveries", deliveries)
    runtime.job("clock", Clock(runtime.database, alerts))
    _count_and_watch(runtime, config, alerts)

    handlers = Handlers(alerts, config.version)

    def ring() -> None:
        deliveries.ring()
        ring_relay()

    def committed() -> None:
        if handlers.wrote():
            ring()

    runtime.consume(
        (RESPONSES, CUSTOMERS, SCORES, ERASURES),
        handlers.table() | _watching(config, alerts),
        on_commit=committed,
        batch_records=settings.batch_records,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with outlets, runtime.running():
            yield

    app = standard_app(
        "notifier",
        "Unhappy customers as cases with clocks, and the alerts that were sent about them.",
        lifespan=lifespan,
        listen=settings,
        health=runtime.health,
    )
    if only != "consumer":
        app.include_router(report_api.routes(runtime.database, config.stores))
        app.include_router(cases_api.routes(runtime.database, Casework(runtime.database, alerts, ring)))
        app.include_router(channels_api.routes(runtime.database, ring, alerts))
        people = People(runtime.database, runtime.people(), runtime.secrets)
        overdue = inbox.Overdue()
        pages = Pages(inbox.HERE, people=people, stores=config.stores, current="inbox", overdue=overdue.of)
        # Before the pages of single cases: `report` is no case's id.
        app.include_router(report_routes(runtime.database, pages, alerts, ring))
        app.include_router(tell_routes(runtime.database, pages))
        app.include_router(
            inbox.routes(
                runtime.database, pages, alerts=alerts, stores=config.stores, ring=ring, overdue=overdue
            )
        )
        open_to_people(app, pages)
    return app
