"""What routes of the notifier share: keys that may read and change cases, ids of cases, the problem 404."""

from typing import Annotated

from fastapi import Depends, Path

from shared.access import Key, Scope
from shared.http import Problem, require

Reader = Annotated[Key, Depends(require(Scope.CASES_READ))]
Worker = Annotated[Key, Depends(require(Scope.CASES_WRITE))]

CaseId = Annotated[
    str, Path(max_length=64, pattern="^[0-9a-f-]+$", examples=["019387a0-5b1c-7c3e-9a51-2f8e7d6c5b4a"])
]


def not_found(kind: str) -> Problem:
    return Problem(404, "not-found", f"There is no such {kind} in this store.")
