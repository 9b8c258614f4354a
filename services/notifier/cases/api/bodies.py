"""The bodies of requests that change cases, and the command that each stands for."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.notifier.cases.domain import actions
from services.notifier.cases.domain.actions import Command
from services.notifier.cases.domain.case import Outcome
from services.notifier.cases.domain.rules import AssignMode
from shared.http import Moment, Text, read_json
from shared.http.bodies import parse_json

B = TypeVar("B", bound=BaseModel)

MOST_AT_ONCE = 200

Word = Annotated[Text, Field(min_length=1, max_length=128)]
Note = Annotated[Text, Field(min_length=1, max_length=4000)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
"""Of a case: an integer of PostgreSQL."""
CaseRef = Annotated[Text, Field(max_length=64, pattern="^[0-9a-f-]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ActIn(_Body):
    """`version`: what the sender saw; 409 when the case changed since. The header If-Match says the same."""

    version: Version | None = None

    def command(self) -> Command:
        raise NotImplementedError


class AssignIn(ActIn):
    """`round_robin` and `least_loaded` find somebody in the case's team."""

    owner: Word

    def command(self) -> Command:
        if self.owner in (AssignMode.ROUND_ROBIN, AssignMode.LEAST_LOADED):
            return actions.AssignInTeam(AssignMode(self.owner))
        return actions.Assign(self.owner)


class ContactIn(ActIn):
    note: Note | None = None

    def command(self) -> Command:
        return actions.Contact(self.note)


class NoteIn(ActIn):
    note: Note

    def command(self) -> Command:
        return actions.Note(self.note)


class SnoozeIn(ActIn):
    until: Moment

    def command(self) -> Command:
        return actions.Snooze(self.until)


class ResolveIn(ActIn):
    root_cause: Word
    outcome: Outcome | None = None

    def command(self) -> Command:
        return actions.Resolve(self.root_cause, self.outcome)


class CloseIn(ActIn):
    """Both are needed, unless they were given when the case was resolved."""

    root_cause: Word | None = None
    outcome: Outcome | None = None

    def command(self) -> Command:
        return actions.Close(self.root_cause, self.outcome)


class ReopenIn(ActIn):
    def command(self) -> Command:
        return actions.Reopen()


class DismissIn(ActIn):
    reason: Word

    def command(self) -> Command:
        return actions.Dismiss(self.reason)


class WatchIn(_Body):
    """Whoever it is: an e-mail address of a person, or any word of a client."""

    watcher: Word


class ToldIn(_Body):
    pass


class Chosen(_Body):
    id: CaseRef
    version: Version | None = None


class _Bulk(_Body):
    cases: tuple[Chosen, ...] = Field(min_length=1, max_length=MOST_AT_ONCE)


class BulkAssign(_Bulk, AssignIn):
    action: Literal["assign"]


class BulkContact(_Bulk, ContactIn):
    action: Literal["contact"]


class BulkNote(_Bulk, NoteIn):
    action: Literal["note"]


class BulkSnooze(_Bulk, SnoozeIn):
    action: Literal["snooze"]


class BulkResolve(_Bulk, ResolveIn):
    action: Literal["resolve"]


class BulkClose(_Bulk, CloseIn):
    action: Literal["close"]


class BulkReopen(_Bulk, ReopenIn):
    action: Literal["reopen"]


class BulkDismiss(_Bulk, DismissIn):
    action: Literal["dismiss"]


BulkIn = Annotated[
    BulkAssign | BulkContact | BulkNote | BulkSnooze | BulkResolve | BulkClose | BulkReopen | BulkDismiss,
    Field(discriminator="action"),
]


def body_of(model: type[B]) -> Callable[[Request], Awaitable[B]]:
    """A dependency that reads the body; none at all counts as an empty object."""
    adapter: TypeAdapter[B] = TypeAdapter(model)

    async def read(request: Request) -> B:
        if not await request.body():
            return parse_json(adapter, b"{}")
        return await read_json(request, adapter)

    return read
