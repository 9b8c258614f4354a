"""Why a case is not changed: what a client, a page and a line of a bulk result say of each refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.notifier.cases.domain.actions import Unexplained, Unfit
from services.notifier.cases.domain.case import Case, Illegal, Refusal
from services.notifier.cases.store.writing import HistoryRow


class NoSuchCase(Refusal):
    """The store has no such case."""


class ChangedMeanwhile(Refusal):
    """Somebody changed the case since the version that the sender saw.

    `entries` are what was done since, the oldest first.
    """

    def __init__(self, case: Case, entries: Sequence[HistoryRow]) -> None:
        super().__init__(f"the case is at version {case.version}")
        self.case = case
        self.entries = tuple(entries)


class AnotherOpenCase(Refusal):
    """The customer has another case in work, so this one cannot be opened again."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"the customer's open case is {case_id}")
        self.case_id = case_id


@dataclass(frozen=True, slots=True)
class Explanation:
    """A refusal in words. `status`, `kind`, `detail` and `facts` make the problem that a client gets.

    `line` is the sentence for a bulk result, `page` that for the page of the case, empty where the page
    shows the refusal in another way. `fields`: what is wrong with which field of the form or body.
    """

    status: int
    kind: str
    detail: str
    line: str
    page: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def explain(refusal: Refusal, actor: Callable[[str], str] = str) -> Explanation:
    """`actor` names whoever stands in the history. Raises the refusal when it is of no kind that is known."""
    match refusal:
        case NoSuchCase():
            return Explanation(
                404, "not-found", "There is no such case in this store.", line="There is no such case."
            )
        case Illegal(action=action, status=status):
            return Explanation(
                409,
                "not-allowed",
                f"{action.capitalize()} is not possible for a case that is {status}.",
                line=f"It is {status} now.",
                page=f"The case is {status} now, which does not allow it. What you typed is still here.",
                facts={"state": status, "allowed": refusal.allowed},
            )
        case ChangedMeanwhile(case=case, entries=entries):
            others = list(dict.fromkeys(actor(row.who) for row in entries)) or ["Somebody"]
            return Explanation(
                409,
                "changed-meanwhile",
                "Somebody changed the case since you read it: see changes. Read it again, then decide.",
                line=f"{' and '.join(others)} changed it since you opened the list.",
                facts={"version": case.version, "state": case.status, "owner": case.owner},
            )
        case AnotherOpenCase(case_id=case_id):
            return Explanation(
                409,
                "another-open-case",
                "The customer has another open case; work on that one.",
                line="The customer has another open case.",
                page="This customer has another case in work. Work on that one.",
                facts={"case_id": case_id},
            )
        case Unexplained(missing=missing):
            detail = "Closing needs a root cause and an outcome."
            fields = dict.fromkeys(missing, "Needed to close.")
            return Explanation(422, "invalid", detail, line=detail, fields=fields)
        case Unfit(field=name, why=why):
            detail = "The request does not fit: see errors."
            return Explanation(422, "invalid", detail, line=why, page=why, fields={name: why})
        case _:
            raise refusal
