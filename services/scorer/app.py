"""The composition root of the scorer: everything is born and ended here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.scorer.counting.counter import Counting
from services.scorer.counting.store.series import SeriesBook
from services.scorer.handlers import TOPICS, handlers
from services.scorer.scores.api import routes
from services.scorer.scores.gauges import ScoreGauges
from services.scorer.scores.jobs import HourCounts, PublishedScores, seldom
from services.scorer.settings import ScorerSettings
from shared import config as configuration
from shared.http import standard_app
from shared.jobs.rounds import LeasedGaugeJob
from shared.ops.settings import PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, Only


def build(
    platform: PlatformSettings, settings: ScorerSettings, loops: Loops, only: Only | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    runtime = Runtime("scorer", platform, settings, config, loops=loops, only=only)
    counting = Counting(config, SeriesBook())
    ring = runtime.publish("publisher", PublishedScores(counting, settings.publish_interval_seconds))
    runtime.consume(
        TOPICS,
        handlers(counting),
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
