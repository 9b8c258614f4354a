"""The composition root of the notifier: everything is born and ended here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from services.notifier import inbox
from services.notifier.cases import api as cases_api
from services.notifier.cases.casework import Casework
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.handlers import CaseHandlers
from services.notifier.cases.jobs import Clock
from services.notifier.cases.store.erasing import drop_orphans
from services.notifier.channels import api as channels_api
from services.notifier.channels.lanes import lanes_of
from services.notifier.channels.message import Shop
from services.notifier.channels.outlets import Outlets, mail_mistakes, template_mistakes
from services.notifier.channels.restore_check import RestoreCheck
from services.notifier.channels.sending import DeliveryLoop
from services.notifier.deliveries.settings import StoreChannels
from services.notifier.handlers import handlers_by_event
from services.notifier.report import api as report_api
from services.notifier.report.gauges import CaseGauges
from services.notifier.report.jobs import WeeklyReport
from services.notifier.report.pages import FOLDER as REPORT_FOLDER
from services.notifier.report.pages import customers_to_inform_routes, report_routes
from services.notifier.settings import Alerts, NotifierSettings, alerts_of
from services.notifier.watch.domain import WatchPolicy
from services.notifier.watch.handlers import ScoreSamples
from services.notifier.watch.jobs import Watch
from shared import config as configuration
from shared.config import Config, ConfigError
from shared.config.secrets import Secrets
from shared.events import Event
from shared.events.topics import CUSTOMERS, ERASURES, RESPONSES, SCORES
from shared.http import standard_app
from shared.jobs.rounds import AgeOutJob, together
from shared.kafka import Handler
from shared.ops.settings import PlatformSettings
from shared.pages.door import add_pages
from shared.pages.pages import Pages
from shared.pages.people import Visitors
from shared.service.runtime import Runtime
from shared.service.serving import Loops, ServedPart


def build_handlers(config: Config, _: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them."""
    alerts = alerts_of(config)
    return handlers_by_event(CaseHandlers(_policies(alerts), config.version), _score_samples(config, alerts))


def _policies(alerts: Mapping[str, Alerts]) -> dict[str, Policy]:
    return {store: section.policy for store, section in alerts.items()}


def _watch_policies(alerts: Mapping[str, Alerts]) -> dict[str, WatchPolicy]:
    return {store: section.watch_policy for store, section in alerts.items()}


def _score_samples(config: Config, alerts: Mapping[str, Alerts]) -> ScoreSamples:
    return ScoreSamples(_watch_policies(alerts), {key: store.zone for key, store in config.stores.items()})


def _leased_jobs(runtime: Runtime, config: Config, alerts: Mapping[str, Alerts]) -> None:
    """The jobs that one replica does at a time."""
    teams = {team for section in alerts.values() for team in section.teams}
    weekly = {store: section.weekly_channels for store, section in alerts.items()}
    runtime.job("figures", CaseGauges(runtime.database, teams))
    runtime.job("watch", Watch(runtime.database, _watch_policies(alerts), config.stores))
    runtime.job("orphans", AgeOutJob(runtime.database, drop_orphans, "orphans"))
    runtime.job("weekly", WeeklyReport(runtime.database, weekly, config.stores))


def _check_channels(config: Config, channels: StoreChannels, settings: NotifierSettings) -> None:
    """Raises ConfigError."""
    mistakes = list(mail_mistakes(config, channels, settings))
    for store, store_channels in channels.items():
        mistakes += template_mistakes(config, store, store_channels)
    if mistakes:
        raise ConfigError(config.path, mistakes)


def build(
    platform: PlatformSettings, settings: NotifierSettings, loops: Loops, only: ServedPart | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    alerts = alerts_of(config)
    policies = _policies(alerts)
    channels = {store: section.channels for store, section in alerts.items()}
    _check_channels(config, channels, settings)
    runtime = Runtime("notifier", platform, settings, config, loops=loops, only=only)
    targets = {
        (store, name): channel
        for store, section in alerts.items()
        for name, channel in section.targets.items()
    }
    shops = {
        key: Shop(key, store.name, store.zone, settings.base_url) for key, store in config.stores.items()
    }
    outlets = Outlets(targets, settings, config.path.parent)
    lanes = lanes_of(targets, outlets, shops, retry_scale=settings.retry_scale)
    deliveries = DeliveryLoop(runtime.database, lanes, shops, settings)
    # Before the consumer tells Kafka where it is now: that is what it would be compared with.
    restore_check = RestoreCheck(runtime.database, runtime.brokers, "closeloop-notifier")
    runtime.look_first("the look for a restore", restore_check.check)
    ring_relay = runtime.relay("relay")
    runtime.job("deliveries", deliveries)
    runtime.job("clock", Clock(runtime.database, policies))
    _leased_jobs(runtime, config, alerts)

    ring = together(deliveries.ring, ring_relay)
    case_handlers = CaseHandlers(policies, config.version)

    runtime.consume(
        (RESPONSES, CUSTOMERS, SCORES, ERASURES),
        handlers_by_event(case_handlers, _score_samples(config, alerts)),
        on_commit=partial(case_handlers.committed, ring),
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
        hosts=platform.hosts(settings),
    )
    if only != "consumer":
        app.include_router(report_api.routes(runtime.database, config.stores, policies))
        app.include_router(cases_api.routes(runtime.database, Casework(runtime.database, policies, ring)))
        app.include_router(channels_api.routes(runtime.database, ring, channels))
        visitors = Visitors(runtime.database, runtime.roster(), runtime.secrets)
        overdue = inbox.Overdue()
        pages = Pages(
            inbox.FOLDER,
            REPORT_FOLDER,
            visitors=visitors,
            stores=config.stores,
            current="inbox",
            overdue=overdue.of,
        )
        # Before the pages of single cases: `report` is no case's id.
        app.include_router(
            report_routes(runtime.database, pages, policies=policies, channels=channels, ring=ring)
        )
        app.include_router(customers_to_inform_routes(runtime.database, pages))
        site = inbox.InboxSite(
            runtime.database,
            pages,
            policies=policies,
            channels=channels,
            stores=config.stores,
            ring=ring,
            overdue=overdue,
        )
        app.include_router(inbox.routes(site))
        add_pages(app, pages)
    return app
