"""A client with a key, and the notifier's API to use it on."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import httpx

from services.notifier.cases import api as cases_api
from services.notifier.cases.casework import Casework
from services.notifier.channels import api as channels_api
from services.notifier.settings import Alerts
from shared.access import Scope, keys, users
from shared.db import Database
from tests.integration.notifier.application import bare_application

PEPPER = b"p" * 32


class Agent:
    """A client with a key."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self._client.get(path, params=query, headers=self._headers)

    async def post(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return await self._client.post(path, json=body, headers=self._headers | (headers or {}))

    async def bare(self, path: str) -> httpx.Response:
        return await self._client.post(path, headers=self._headers)


@asynccontextmanager
async def served(
    database: Database, alerts: Mapping[str, Alerts] = MappingProxyType({})
) -> AsyncIterator[httpx.AsyncClient]:
    app = bare_application(database, PEPPER)
    policies = {store: section.policy for store, section in alerts.items()}
    channels = {store: section.channels for store, section in alerts.items()}
    app.include_router(cases_api.routes(database, Casework(database, policies, lambda: None)))
    app.include_router(channels_api.routes(database, lambda: None, channels))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notifier") as client:
        yield client


async def employ(database: Database, store: str, *emails: str) -> None:
    """Let these people work for the store."""
    async with database.transaction() as session:
        for email in emails:
            await users.set_role(session, await users.add(session, email=email), store, "agent")


async def key(database: Database, store: str, *scopes: Scope) -> str:
    async with database.transaction() as session:
        return await keys.create(session, store=store, kind="secret", scopes=scopes, pepper=PEPPER)
