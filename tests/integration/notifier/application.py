"""The notifier's application without routes and jobs: a test includes what it is about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.notifier.settings import NotifierSettings
from shared.access import Keyring
from shared.db import Database
from shared.http import standard_app
from shared.ops.health import Health


def bare_application(database: Database, pepper: bytes) -> FastAPI:
    """`pepper`: that of the keys which the test makes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = standard_app("notifier", "", lifespan=lifespan, listen=NotifierSettings(), health=Health({}))
    app.state.keyring = Keyring(database, pepper)
    return app
