"""HTTP in and out: cases, what people do with them, and deliveries."""

from collections.abc import Callable

from fastapi import APIRouter

from services.notifier.api import actions, cases, deliveries
from shared.db import Database


def routes(database: Database, ring: Callable[[], None]) -> APIRouter:
    """`/v1/cases` and `/v1/deliveries`. `ring` wakes whoever sends what was committed."""
    router = APIRouter(prefix="/v1")
    router.include_router(cases.routes(database))
    router.include_router(actions.routes(database, ring))
    router.include_router(deliveries.routes(database, ring))
    return router
