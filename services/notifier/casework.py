"""Working cases: what the API, the pages and the command all call. One action, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.notifier.domain import Assign, Case, Do
from services.notifier.reading import Shown
from services.notifier.settings import Alerts
from services.notifier.store.cases import HistoryRow
from shared.db import Database


@dataclass(frozen=True, slots=True)
class AssignBy:
    """Instead of a `Do`: to whom of the case's team its turn or the least load says. Raises Unfit."""

    how: Assign


class NoSuchCase(Exception):
    """The store has no such case."""


class ChangedMeanwhile(Exception):
    """Somebody changed the case since `version`; `entries` are what was done since, the oldest first."""

    def __init__(self, case: Case, entries: Sequence[HistoryRow]) -> None:
        super().__init__(f"the case is at version {case.version}")
        self.case = case
        self.entries = tuple(entries)


class AnotherOpenCase(Exception):
    """The customer has another case in work, so this one cannot be opened again."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"the customer's open case is {case_id}")
        self.case_id = case_id


@dataclass(frozen=True, slots=True)
class Done:
    case_id: str
    case: Case


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` is one of the exceptions of `act`."""

    case_id: str
    why: Exception


class Casework:
    """`who` is `user:<email>`, `key:<key id>` or `system`; `ring` wakes whoever sends what was committed."""

    def __init__(
        self,
        database: Database,
        alerts: Mapping[str, Alerts],
        ring: Callable[[], None] = lambda: None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None: ...

    async def show(self, store: str, case_id: str) -> Shown:
        """Raises NoSuchCase."""
        raise NotImplementedError

    async def act(
        self,
        store: str,
        case_id: str,
        who: str,
        do: Do | AssignBy,
        *,
        version: int | None = None,
        traceparent: str = "",
    ) -> Shown:
        """Raises NoSuchCase, ChangedMeanwhile, AnotherOpenCase, Illegal, Unexplained or Unfit."""
        raise NotImplementedError

    async def bulk(
        self,
        store: str,
        wanted: Sequence[tuple[str, int | None]],
        who: str,
        do: Do | AssignBy,
        *,
        traceparent: str = "",
    ) -> list[Done | Refused]:
        """The same action on many cases (id and the version that was seen), each on its own."""
        raise NotImplementedError

    async def watch(
        self, store: str, case_id: str, who: str, watcher: str, *, watching: bool = True
    ) -> Shown:
        """Harmless twice. Raises NoSuchCase."""
        raise NotImplementedError

    async def told(self, store: str, case_id: str, who: str) -> Shown:
        """The customer was told what was done; the first time counts. Raises NoSuchCase."""
        raise NotImplementedError
