"""The composition root of the segmenter: everything is born and ended here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.segmenter.customers.api.routes import routes
from services.segmenter.customers.jobs import CustomerSource
from services.segmenter.handlers import TOPICS, handlers
from services.segmenter.settings import SegmenterSettings
from services.segmenter.tiers.folding import utc_now
from services.segmenter.tiers.jobs import TierClock, TierGauges
from services.segmenter.tiers.settings import loyalty_rules
from shared import config as configuration
from shared.http import standard_app
from shared.jobs.rounds import LeasedGaugeJob
from shared.ops.settings import PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, ServedPart


def build(
    platform: PlatformSettings, settings: SegmenterSettings, loops: Loops, only: ServedPart | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    rules_by_store = loyalty_rules(config)
    runtime = Runtime("segmenter", platform, settings, config, loops=loops, only=only)
    publish = runtime.publish("publisher", CustomerSource(settings.publish_interval_seconds))
    clock = TierClock(
        runtime.database,
        rules_by_store,
        batch=settings.clock_batch,
        sleep_seconds=settings.clock_sleep_seconds,
        on_change=publish,
    )
    runtime.job("tier-clock", clock)
    gauges = TierGauges(runtime.database, rules_by_store)
    runtime.job("gauges", LeasedGaugeJob(runtime.database, "segmenter", gauges))

    def committed() -> None:
        publish()
        clock.ring()

    runtime.consume(
        TOPICS,
        handlers(rules_by_store, utc_now, runtime.secrets.customers),
        on_commit=committed,
        batch_records=settings.batch_records,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with runtime.running():
            yield

    app = standard_app(
        "segmenter",
        "Who a customer is to the store: loyalty tier, points, tags, and the reason of each.",
        lifespan=lifespan,
        listen=settings,
        health=runtime.health,
        hosts=platform.hosts(settings),
    )
    if only != "consumer":
        app.include_router(routes(runtime.database, rules_by_store, runtime.secrets.customers, committed))
    return app
