"""The composition root of the scorer: everything is born and ended here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.scorer.counting.counter import Counting
from services.scorer.counting.handlers import Handlers
from services.scorer.counting.store.series import SeriesBook
from services.scorer.scores.api import routes
from services.scorer.scores.gauges import ScoreGauges
from services.scorer.scores.jobs import HourCounts, PublishedScores, seldom
from services.scorer.settings import ScorerSettings
from shared import config as configuration
from shared.config import Config
from shared.config.secrets import Secrets
from shared.events import Event
from shared.events.topics import CUSTOMERS, ERASURES, RESPONSES
from shared.http import standard_app
from shared.jobs.rounds import LeasedGaugeJob
from shared.kafka import Handler
from shared.ops.settings import PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, Only


def build_handlers(config: Config, _: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them."""
    return Handlers(Counting(config, SeriesBook())).table()


def build(
    platform: PlatformSettings, settings: ScorerSettings, loops: Loops, only: Only | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    runtime = Runtime("scorer", platform, settings, config, loops=loops, only=only)
    counting = Counting(config, SeriesBook())
    ring = runtime.publish("publisher", PublishedScores(counting, settings.publish_interval_seconds))
    runtime.consume(
        (RESPONSES, CUSTOMERS, ERASURES),
        Handlers(counting).table(),
        on_commit=seldom(ring, 0.2),
        batch_records=settings.batch_records,
    )

    runtime.job("hours", HourCounts(runtime.database))
    gauges = ScoreGauges(runtime.database, counting)
    runtime.job("gauges", LeasedGaugeJob(runtime.database, "scorer", gauges))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with runtime.running():
            yield

    app = standard_app(
        "scorer",
        "Rolling scores of every declared segment, exact to the second, with their intervals.",
        lifespan=lifespan,
        listen=settings,
        health=runtime.health,
    )
    if only != "consumer":
        app.include_router(routes(runtime.database, counting, settings.latest_scan_limit))
    return app
