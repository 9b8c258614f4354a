"""Which list of cases a person asks for, read from the address of a page and written back into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.case import LIVE, Priority, Status
from services.notifier.cases.store.search import CaseFilter, Place

VIEWS = {
    "open": "All open",
    "mine": "Mine",
    "unassigned": "Unassigned",
    "overdue": "Overdue",
    "today": "Due today",
    "snoozed": "Snoozed",
    "watching": "Watching",
    "resolved": "Resolved, to close",
}
"""The views that everybody has, in the order of the side bar."""

EVERY = "all"
"""The view of all cases, closed ones too: offered when a search of another view finds nothing."""

FIELDS = ("store", "view", "q", "priority", "owner", "team", "after", "first")
"""The parameters of the address of a list."""

NOBODY = "none"
PAGE = 50
LONGEST_SEARCH = 100
_LONGEST_WORD = 128
_CASE = re.compile(r"[0-9a-f-]{1,64}")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page of a list of cases.

    `after`: the place in the list where the page before ended; `first`: the number of the first case on
    this page.
    """

    view: str = "open"
    q: str = ""
    priority: str = ""
    owner: str = ""
    team: str = ""
    after: Place | None = None
    first: int = 1

    @property
    def narrowed(self) -> bool:
        """Whether the person chose more than a view."""
        return bool(self.q or self.priority or self.owner or self.team)

    @property
    def name(self) -> str:
        return VIEWS.get(self.view, "All cases")

    def filter(self, me: str, now: datetime, zone: ZoneInfo) -> CaseFilter:
        """For the list of a person at a store with this zone, which says when today ends."""
        statuses: tuple[Status, ...] = tuple(sorted(LIVE))
        if self.view == EVERY:
            statuses = ()
        elif self.view in (Status.SNOOZED, Status.RESOLVED):
            statuses = (Status(self.view),)
        owner = {"mine": me, "unassigned": ""}.get(self.view)
        if owner is None and self.owner:
            owner = "" if self.owner == NOBODY else self.owner
        return CaseFilter(
            statuses=statuses,
            owner=owner,
            priority=Priority(self.priority) if self.priority else None,
            overdue=True if self.view == "overdue" else None,
            team=self.team or None,
            q=self.q or None,
            due_before=day_ends(now, zone) if self.view == "today" else None,
            watcher=me if self.view == "watching" else None,
        )

    def query_string(self, store: str = "", /, **more: str) -> str:
        """What stands behind the question mark of the address, with `more` fields; without the page."""
        fields = {
            "store": store,
            "view": self.view,
            "q": self.q,
            "priority": self.priority,
            "owner": self.owner,
            "team": self.team,
            **more,
        }
        return urlencode({name: value for name, value in fields.items() if value})


def query_of_address(fields: Mapping[str, str]) -> ListQuery:
    """The list that the address of a page names; a value that means nothing counts as not given."""
    view = fields.get("view", "")
    return ListQuery(
        view=view if view in VIEWS or view == EVERY else "open",
        q=" ".join(fields.get("q", "").replace("\0", " ").split())[:LONGEST_SEARCH],
        priority=fields.get("priority", "") if fields.get("priority") in tuple(Priority) else "",
        owner=_word(fields.get("owner", "")),
        team=_word(fields.get("team", "")),
        after=place_of(fields.get("after", "")),
        first=_number(fields.get("first", "")),
    )


def place_text(place: Place) -> str:
    """A place in a list as an address holds it; `place_of` reads it."""
    return f"{place.due}~{place.case_id}"


def place_of(text: str) -> Place | None:
    """The place that a text of an address names; None for a text that names none."""
    due, _, case_id = text.partition("~")
    if not _CASE.fullmatch(case_id):
        return None
    try:
        return Place.read(due, case_id)
    except ValueError:
        return None


def day_ends(now: datetime, zone: ZoneInfo) -> datetime:
    """The next midnight of a zone."""
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone)


def _word(text: str) -> str:
    return "" if "\0" in text else text.strip()[:_LONGEST_WORD]


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[1-9]\d{0,8}", text) else 1
