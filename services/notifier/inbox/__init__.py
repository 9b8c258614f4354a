"""The pages of the inbox, by session: the list, the case, and the changes as they happen."""

from fastapi import APIRouter

from services.notifier.inbox import bulk, case_page, list_page, live
from services.notifier.inbox.site import FOLDER, InboxSite, Overdue

__all__ = ["FOLDER", "InboxSite", "Overdue", "routes"]


def routes(site: InboxSite) -> APIRouter:
    """Everything under `/inbox` but the report."""
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
