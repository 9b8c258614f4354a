"""What the hot route answers when it takes nothing in."""

from typing import Any

import pytest

from services.collector.responses.intake import AnswerRequest, problem_for
from shared.http import Problem


def request_with(*headers: tuple[bytes, bytes]) -> tuple[AnswerRequest, dict[str, Any]]:
    """A request and its scope."""
    scope: dict[str, Any] = {"headers": list(headers), "query_string": b""}
    return AnswerRequest(scope), scope


class TestA503:
    @pytest.mark.parametrize("kind", ["busy", "keys-unavailable"])
    def test_names_the_id_to_try_again_with(self, kind: str) -> None:
        request, scope = request_with((b"idempotency-key", b"r-1"))
        problem = problem_for(Problem(503, kind, "Try again."), request, scope)
        assert b'"response_id":"r-1"' in problem.body()

    @pytest.mark.parametrize("headers", [[], [(b"idempotency-key", b"\xff")]])
    def test_names_none_that_was_not_sent(self, headers: list[tuple[bytes, bytes]]) -> None:
        request, scope = request_with(*headers)
        assert b"response_id" not in problem_for(Problem(503, "busy", "Try again."), request, scope).body()

    def test_is_the_only_problem_that_does(self) -> None:
        request, scope = request_with((b"idempotency-key", b"r-1"))
        assert b"response_id" not in problem_for(Problem(401, "unauthorised", "No."), request, scope).body()
