"""Words in the list of cases: in whichever way they are looked for, the same pages come out."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from services.notifier.cases.domain.case import Priority, Status
from services.notifier.cases.store import search
from services.notifier.cases.store.search import CaseFilter, Place
from tests.integration.notifier.desk import Desk

WAYS = {"along the list": (3000, 5000), "among few": (1, 5000), "along the whole list": (1, 0)}
COMMENTS = ["zip broken", "late", "Broken sole", "zipper", "broken, and late", "brokenly zipped", ""]
LIVE = tuple(status for status in Status if status not in (Status.CLOSED, Status.DISMISSED))


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    walked, found = WAYS[request.param]
    monkeypatch.setattr(search, "MOST_WALKED", walked)
    monkeypatch.setattr(search, "MOST_RARE", found)


@pytest.fixture(autouse=True)
async def cases(desk: Desk) -> None:
    """One case for each comment; the last one's clock runs out first."""
    for number, comment in enumerate(COMMENTS):
        said = desk.submitted(2, customer=f"c-{number}", response_id=f"r-{number}", comment=comment)
        await desk.apply(said)
    async with desk.database.transaction() as session:
        await session.execute(
            text("""UPDATE notifier.cases SET first_contact_due_at = now() - interval '1 hour'
                               * CAST(substr(customer_ref, 3) AS int)
                    WHERE store = :store"""),
            {"store": desk.store},
        )
        await session.execute(
            text("UPDATE notifier.cases SET status = 'assigned', owner = 'kim@x' WHERE customer_ref = 'c-2'")
        )


async def pages(desk: Desk, wanted: CaseFilter, limit: int = 2) -> list[int]:
    """The numbers of the comments, page by page to the end."""
    found: list[int] = []
    after: Place | None = None
    async with desk.database.snapshot() as session:
        while page := await search.page(session, desk.store, wanted, after=after, limit=limit):
            found += [int(case.customer_ref.removeprefix("c-")) for case, _ in page]
            after = page[-1][1]
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [("broken", [5, 4, 2, 0]), ("brok zip", [5, 0]), ("late", [4, 1]), ("nothing", []), ("'", [])],
)
async def test_the_clock_that_runs_out_first_is_on_top(desk: Desk, words: str, expected: list[int]) -> None:
    assert await pages(desk, CaseFilter(q=words)) == expected


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        (CaseFilter(statuses=LIVE), [5, 4, 2, 0]),
        (CaseFilter(statuses=(Status.OPEN, Status.RESOLVED)), [5, 4, 0]),
        (CaseFilter(owner="kim@x"), [2]),
        (CaseFilter(owner=""), [5, 4, 0]),
        (CaseFilter(overdue=True), [5, 4, 2, 0]),
        (CaseFilter(priority=Priority.URGENT), []),
        (CaseFilter(watcher="kim@x"), []),
    ],
)
async def test_beside_other_conditions(desk: Desk, narrowed: CaseFilter, expected: list[int]) -> None:
    assert await pages(desk, replace(narrowed, q="broken")) == expected
