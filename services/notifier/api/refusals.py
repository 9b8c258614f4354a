"""Why a case is not to be changed so, as problems."""

from services.notifier.api.views import history_out
from services.notifier.cases.api.access import not_found
from services.notifier.cases.casework import AnotherOpenCase, ChangedMeanwhile, NoSuchCase
from services.notifier.cases.domain.actions import Unexplained, Unfit
from services.notifier.domain.states import Illegal
from shared.http import Problem

MOST_CHANGES = 20


def problem_of(refusal: Exception) -> Problem:
    """The problem that says why not; raises what is not a refusal."""
    match refusal:
        case NoSuchCase():
            return not_found("case")
        case Illegal():
            return Problem(
                409,
                "not-allowed",
                f"{refusal.action.capitalize()} is not possible for a case that is {refusal.status}.",
                state=refusal.status,
                allowed=refusal.allowed,
            )
        case ChangedMeanwhile():
            changes = [history_out(row).model_dump(mode="json") for row in refusal.entries[-MOST_CHANGES:]]
            return Problem(
                409,
                "changed-meanwhile",
                "Somebody changed the case since you read it: see changes. Read it again, then decide.",
                version=refusal.case.version,
                state=refusal.case.status,
                owner=refusal.case.owner,
                changes=changes,
            )
        case AnotherOpenCase():
            detail = "The customer has another open case; work on that one."
            return Problem(409, "another-open-case", detail, case_id=refusal.case_id)
        case Unexplained():
            errors = [{"pointer": f"/{name}", "detail": "Needed to close."} for name in refusal.missing]
            return Problem(422, "invalid", "Closing needs a root cause and an outcome.", errors=errors)
        case Unfit():
            errors = [{"pointer": f"/{refusal.field}", "detail": refusal.why}]
            return Problem(422, "invalid", "The request does not fit: see errors.", errors=errors)
        case _:
            raise refusal
