"""HTTP in and out: cases, what people do with them, and deliveries."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastapi import APIRouter

from services.notifier.api import actions, channels
from services.notifier.cases.api import routes as cases
from services.notifier.cases.casework import Casework
from services.notifier.channels import api
from services.notifier.settings import Alerts
from shared.db import Database

NO_ALERTS: Mapping[str, Alerts] = MappingProxyType({})


def routes(
    database: Database, ring: Callable[[], None], alerts: Mapping[str, Alerts] = NO_ALERTS
) -> APIRouter:
    """`/v1/cases`, `/v1/deliveries` and `/v1/channels`. `ring` wakes whoever sends what was committed."""
    router = APIRouter(prefix="/v1")
    casework = Casework(database, alerts, ring)
    router.include_router(cases.routes(database, casework))
    router.include_router(actions.routes(casework))
    router.include_router(api.routes(database, ring))
    router.include_router(channels.routes(database, ring, alerts))
    return router
