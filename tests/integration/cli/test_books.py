"""`closeloop rebuild` on the real database; what it writes is proved by each service's own tests."""

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("service", "says"), [("scorer", {"moved"}), ("segmenter", {"customers", "changed"})]
)
def test_a_rebuild_says_what_it_did(closeloop: Run, database_url: str, service: str, says: set[str]) -> None:
    done = closeloop("rebuild", service, "--store", "demo", "--json", DATABASE_URL=database_url)

    assert done.code == 0
    assert done.json.keys() == says


def test_a_rebuild_of_an_unknown_store_is_refused(closeloop: Run, database_url: str) -> None:
    done = closeloop("rebuild", "scorer", "--store", "nowhere", DATABASE_URL=database_url)

    assert done.code == 1
    assert "no store 'nowhere'" in done.err
