"""What every page of the inbox needs of the application: the database, the stores, the people, the cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends

from services.notifier.cases.casework import Casework
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import AssignMode
from services.notifier.cases.store.search import CaseFilter
from services.notifier.cases.wording import MemberNames
from services.notifier.deliveries.settings import Channel, StoreChannels
from services.notifier.inbox.forms import Actor
from services.notifier.inbox.list_view import RowBuilder
from services.notifier.inbox.search import ListQuery
from services.notifier.inbox.store import count_each
from shared.config.stores import Store
from shared.db import Database, Session
from shared.pages.forms import Form, form_of
from shared.pages.pages import Pages
from shared.pages.people import PersonAtStore, member

FOLDER = Path(__file__).parent
"""The folder of templates and static files, for `Pages`."""

COUNTED = 1000
"""Counts go no further, and are shown as "999+": so they cost the same with a million cases."""

AtStore = Annotated[PersonAtStore, Depends(member())]
FormOf = Annotated[Form, Depends(form_of)]


class Overdue:
    """How many cases of each store are overdue, by the last count: for the badge on every page."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, store: str) -> int:
        return self._counts.get(store, 0)

    def set(self, store: str, count: int) -> None:
        self._counts[store] = count


class InboxSite:
    """What the pages of the inbox share; one for the application.

    `pages` has `FOLDER` among its folders, and asks `overdue` for the badge.
    """

    def __init__(
        self,
        database: Database,
        pages: Pages,
        *,
        policies: Mapping[str, Policy],
        channels: StoreChannels,
        stores: Mapping[str, Store],
        ring: Callable[[], None],
        overdue: Overdue,
    ) -> None:
        self.database = database
        self.pages = pages
        self.casework = Casework(database, policies, ring)
        self.ring = ring
        self._channels = channels
        self._stores = stores
        self._overdue = overdue

    def now(self) -> datetime:
        return datetime.now(UTC)

    def zone(self, store: str) -> ZoneInfo:
        return self._stores[store].zone

    def policy(self, store: str) -> Policy:
        return self.casework.policy(store)

    def causes(self, store: str) -> tuple[str, ...]:
        return self.policy(store).root_causes

    def channels(self, store: str) -> Mapping[str, Channel]:
        return self._channels.get(store, {})

    def tiers(self, store: str) -> list[str]:
        """The names of the store's tiers, the lowest first."""
        return list(self._stores[store].tiers)

    def assignees(self, store: str) -> list[tuple[str, str]]:
        """To whom cases may be assigned, for a list to choose from: the value of each and what it shows."""
        members = [(member.email, member.name) for member in self.names(store).members]
        return [*members, (AssignMode.LEAST_LOADED.value, "Least loaded")]

    def names(self, store: str) -> MemberNames:
        return MemberNames(self.pages.visitors.roster.members(store))

    def row_builder(self, store: str) -> RowBuilder:
        return RowBuilder(self.names(store), self.tiers(store), self.now(), self.zone(store))

    def actor(self, at: PersonAtStore) -> Actor:
        return Actor(at.person, self.names(at.store), self.zone(at.store))

    def query_string(self, at: PersonAtStore, query: ListQuery, /, **more: str) -> str:
        """The query string of a list's address; names the store for a person who has more than one."""
        return query.query_string(at.store if len(at.person.stores) > 1 else "", **more)

    def filter(self, at: PersonAtStore, query: ListQuery) -> CaseFilter:
        return query.filter(at.person.email, self.now(), self.zone(at.store))

    async def count_overdue(self, session: Session, store: str) -> int:
        """Count the overdue cases of a store again, for the badge."""
        case_filter = ListQuery(view="overdue").filter("", self.now(), self.zone(store))
        [count] = await count_each(session, store, [case_filter], most=COUNTED)
        self.set_overdue(store, count)
        return count

    def set_overdue(self, store: str, count: int) -> None:
        self._overdue.set(store, count)

    def next_morning(self, store: str) -> datetime:
        """When a snooze is offered to end: at 9 o'clock of the next day on which the store is open."""
        zone, hours = self.zone(store), self.policy(store).hours
        morning = (self.now().astimezone(zone) + timedelta(days=1)).replace(
            hour=9, minute=0, second=0, microsecond=0
        )
        if hours is None:
            return morning
        for _ in range(14):
            if hours.worked(morning, morning + timedelta(hours=1)):
                return morning
            morning += timedelta(days=1)
        return morning


def shown_count(count: int) -> str:
    """`23`, or `999+` for what was not counted to its end."""
    return f"{COUNTED - 1}+" if count >= COUNTED else str(count)
