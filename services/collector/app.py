"""Builds the collector from its parts: the one place that knows them all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.collector.callers import Callers
from services.collector.domain import CustomerRefs, InvalidInput
from services.collector.erasures import api as erasures
from services.collector.erasures.handlers import ErasureHandlers
from services.collector.front import Front
from services.collector.orders import api as orders
from services.collector.orders.handlers import OrderHandlers
from services.collector.origins import AllowedOrigins
from services.collector.publishing import Publisher
from services.collector.responses import api as responses
from services.collector.responses.accept import AnswerAcceptor
from services.collector.responses.handlers import ResponseHandlers
from services.collector.responses.intake import ROUTE, Intake
from services.collector.routes import on_invalid_input
from services.collector.settings import CollectorSettings
from services.collector.tokens import AmendTokens, CustomerTokens
from shared.config import load
from shared.events.topics import ERASURES, ORDERS, RESPONSES
from shared.http import standard_app
from shared.http.hosts import for_hosts
from shared.http.traced import traced
from shared.ops.settings import PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops, ServedPart

_DESCRIPTION = """Answers, orders and engagements come in here. A 202 says that Kafka has the record on all
in-sync replicas. A 503 says that nobody knows: send the same again with the id in its body; it counts once.

Send JSON with `Authorization: Bearer <key>`. `sec_` keys are for servers; `pub_` keys are for pages of the
store's allowed origins and may only submit. Unknown fields are refused, `null` is the same as leaving a
field out, and of a repeated field the last one counts."""


def build(
    platform: PlatformSettings, settings: CollectorSettings, loops: Loops, only: ServedPart | None = None
) -> Front:
    """The ASGI application. Raises ConfigError when the file cannot be used."""
    if only == "consumer":
        raise SystemExit("collector: it consumes nothing; run it as `serve` or `serve --only api`")
    config = load(platform.closeloop_config)
    runtime = Runtime("collector", platform, settings, config, loops=loops, only=only)
    # Ready without PostgreSQL too: keys are in memory, and everything else goes to Kafka.
    runtime.health.tolerate("postgres")
    runtime.watch_logs((RESPONSES, ORDERS, ERASURES))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.keyring = runtime.keyring
        async with runtime.running():
            yield

    app = standard_app(
        "collector",
        _DESCRIPTION,
        lifespan=lifespan,
        listen=settings,
        health=runtime.health,
        hosts=platform.hosts(settings),
    )
    amend_tokens = AmendTokens(platform.secrets.amend_tokens)
    customer_tokens = CustomerTokens(platform.secrets.customer_tokens)
    customer_refs = CustomerRefs(platform.secrets.customers)
    publisher = Publisher(runtime.producer)
    callers = Callers(runtime.keyring, config.stores, settings, app.state.limits)
    origins = AllowedOrigins(config.stores)
    app.state.callers = callers
    app.state.responses = ResponseHandlers(
        callers=callers, publisher=publisher, amend_tokens=amend_tokens, customer_tokens=customer_tokens
    )
    app.state.orders = OrderHandlers(customer_refs=customer_refs, publisher=publisher)
    app.state.erasures = ErasureHandlers(customer_refs=customer_refs, publisher=publisher)
    app.add_exception_handler(InvalidInput, on_invalid_input)  # type: ignore[arg-type]  # it gets no other
    for room in (responses, orders, erasures):
        app.include_router(room.router)
    answers = AnswerAcceptor(
        customer_refs=customer_refs,
        customer_tokens=customer_tokens,
        amend_tokens=amend_tokens,
        producer=runtime.producer,
    )
    intake = Intake(callers=callers, origins=origins, answers=answers, limits=app.state.limits)
    return Front(
        app, intake=for_hosts(traced(intake, route=ROUTE), platform.hosts(settings)), origins=origins
    )
