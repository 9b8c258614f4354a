"""The pages of the inbox, by session: the list, the case, and the changes as they happen."""

from collections.abc import Callable, Mapping

from fastapi import APIRouter

from services.notifier.cases.domain.policy import Policy
from services.notifier.deliveries.settings import StoreChannels
from services.notifier.inbox import bulk, case_page, list_page, live
from services.notifier.inbox.site import FOLDER, InboxSite, Overdue
from shared.config.stores import Store
from shared.db import Database
from shared.pages.pages import Pages

__all__ = ["FOLDER", "Overdue", "routes"]


def routes(
    database: Database,
    pages: Pages,
    *,
    policies: Mapping[str, Policy],
    channels: StoreChannels,
    stores: Mapping[str, Store],
    ring: Callable[[], None],
    overdue: Overdue,
) -> APIRouter:
    """Everything under `/inbox` but the report. `pages` has `FOLDER` among its folders and asks `overdue`."""
    site = InboxSite(
        database, pages, policies=policies, channels=channels, stores=stores, ring=ring, overdue=overdue
    )
    router = APIRouter()
    for routes_of in (
        list_page.routes,
        bulk.routes,
        live.routes,
        case_page.replay_routes,
        case_page.routes,
        case_page.action_routes,
    ):
        router.include_router(routes_of(site))
    return router
