"""The composition root of the scorer: everything is born and ended here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.store.series import SeriesIds
from services.scorer.handlers import TOPICS, handlers
from services.scorer.scores.api import routes
from services.scorer.scores.gauges import ScoreGauges
from services.scorer.scores.jobs import HourCounter, ScoreSource, at_most_every
from services.scorer.settings import ScorerSettings
from shared import config as configuration
from shared.http import standard_app
from shared.jobs.rounds import LeasedGaugeJob
from shared.ops.settings import PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, ServedPart


def build(
    platform: PlatformSettings, settings: ScorerSettings, loops: Loops, only: ServedPart | None = None
) -> FastAPI:
    """The application. Raises ConfigError before anything is opened."""
    config = configuration.load(platform.closeloop_config)
    runtime = Runtime("scorer", platform, settings, config, loops=loops, only=only)
    counter = AnswerCounter(config, SeriesIds())
    ring = runtime.publish("publisher", ScoreSource(counter, settings.publish_interval_seconds))
    runtime.consume(
        TOPICS,
        handlers(counter),
        on_commit=at_most_every(ring, 0.2),
        batch_records=settings.batch_records,
    )

    runtime.job("hours", HourCounter(runtime.database))
    gauges = ScoreGauges(runtime.database, counter)
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
        hosts=platform.hosts(settings),
    )
    if only != "consumer":
        app.include_router(routes(runtime.database, counter, settings.latest_scan_limit))
    return app
