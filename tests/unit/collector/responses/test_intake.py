"""What a refused client is told."""

from typing import Any

import pytest

from services.collector.responses.intake import _Asked, _problem
from shared.http import Problem


def asked(*headers: tuple[bytes, bytes]) -> Any:
    scope: dict[str, Any] = {"headers": list(headers), "query_string": b""}
    return _Asked(scope), scope


class TestA503:
    @pytest.mark.parametrize("kind", ["busy", "keys-unavailable"])
    def test_names_the_id_to_come_again_with(self, kind: str) -> None:
        request, scope = asked((b"idempotency-key", b"r-1"))
        problem = _problem(Problem(503, kind, "Try again."), request, scope)
        assert b'"response_id":"r-1"' in problem.body()

    @pytest.mark.parametrize("headers", [[], [(b"idempotency-key", b"\xff")]])
    def test_names_none_that_was_not_sent(self, headers: list[tuple[bytes, bytes]]) -> None:
        request, scope = asked(*headers)
        assert b"response_id" not in _problem(Problem(503, "busy", "Try again."), request, scope).body()

    def test_alone_does(self) -> None:
        request, scope = asked((b"idempotency-key", b"r-1"))
        assert b"response_id" not in _problem(Problem(401, "unauthorised", "No."), request, scope).body()
