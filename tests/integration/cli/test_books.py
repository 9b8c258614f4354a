"""`closeloop rebuild` and `closeloop verify` on the real databases; what they find is proved by each service."""

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


def test_verify_reports_the_scores_and_the_customers(
    closeloop: Run, database_url: str, bootstrap: str
) -> None:
    done = closeloop("verify", "--json", DATABASE_URL=database_url, KAFKA_BOOTSTRAP_SERVERS=bootstrap)

    assert done.json["balanced"] is (done.code == 0)
    assert done.json["scorer"]["bucket_faults"] == []
    assert done.json["segmenter"]["wrong_customers"] == []
