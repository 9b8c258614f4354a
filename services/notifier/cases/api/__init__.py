"""`/v1/cases`: the cases of a store, and what people and programs do with them."""

from fastapi import APIRouter

from services.notifier.cases.api.routes import acting_routes, reading_routes
from services.notifier.cases.casework import Casework
from shared.db import Database


def routes(database: Database, casework: Casework) -> APIRouter:
    router = APIRouter(prefix="/v1")
    router.include_router(reading_routes(database, casework))
    router.include_router(acting_routes(casework))
    return router
