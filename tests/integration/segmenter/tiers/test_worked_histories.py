"""Whole histories of customers, worked by hand."""

import pytest

from services.segmenter.operations import verify
from shared.db import Database
from tests.integration.segmenter.builders import (
    Sent,
    Shop,
    answer,
    at,
    closed,
    opened,
    order,
    refund,
)

WORKED = {
    "H1 Asha": (
        [order("1", 300, "2024-01-10"), order("2", 250, "2024-03-01"), order("3", 1000, "2024-06-15")],
        "2027-01-01",
        [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2024-06-15", 1550, "Silver -> Gold", "upgrade"),
            ("2025-06-15", 0, "Gold -> Gold", "grace"),
            ("2025-08-14", 0, "Gold -> Silver", "soft_landing"),
            ("2026-08-14", 0, "Silver -> Silver", "grace"),
            ("2026-10-13", 0, "Silver -> Bronze", "soft_landing"),
        ],
    ),
    "H2 Ben": (
        [order("1", 510, "2024-02-01"), order("2", 430, "2024-09-01")],
        "2025-06-01",
        [
            ("2024-02-01", 510, "Bronze -> Silver", "upgrade"),
            ("2025-01-31", 430, "Silver -> Silver", "renewal"),
        ],
    ),
    "H3 Chen": (
        [order("1", 1600, "2024-01-15"), order("2", 1100, "2024-11-01"), order("3", 150, "2025-02-05")],
        "2025-06-01",
        [
            ("2024-01-15", 1600, "Bronze -> Gold", "upgrade"),
            ("2025-01-14", 1100, "Gold -> Gold", "grace"),
            ("2025-02-05", 1250, "Gold -> Gold", "renewal_in_grace"),
        ],
    ),
    "H4 Dee": (
        [order("1", 600, "2024-05-01"), refund("1", 300, "2024-05-06")],
        "2024-06-01",
        [
            ("2024-05-01", 600, "Bronze -> Silver", "upgrade"),
            ("2024-05-06", 300, "Silver -> Bronze", "refund"),
        ],
    ),
    "H5 Eli": (
        [order("1", 550, "2024-03-01"), opened("c", "2025-04-20"), closed("c", "2025-05-10")],
        "2025-12-01",
        [
            ("2024-03-01", 550, "Bronze -> Silver", "upgrade"),
            ("2025-03-01", 0, "Silver -> Silver", "grace"),
            ("2025-04-30", 0, "Silver -> Silver", "hold"),
            ("2025-06-09", 0, "Silver -> Bronze", "soft_landing"),
        ],
    ),
    "H6 Fay": (
        [order("1", 4200, "2024-01-01"), order("2", 100, "2024-12-15")],
        "2025-04-01",
        [
            ("2024-01-01", 4200, "Bronze -> Platinum", "upgrade"),
            ("2024-12-31", 100, "Platinum -> Platinum", "grace"),
            ("2025-03-01", 100, "Platinum -> Gold", "soft_landing"),
        ],
    ),
    "H7 Gus": (
        [answer(f"r-{day}", when=f"2024-01-{day:02}") for day in range(1, 31)]
        + [order("1", 150, "2024-01-31"), order("2", 50, "2024-02-10")],
        "2024-06-01",
        [("2024-02-10", 500, "Bronze -> Silver", "upgrade")],
    ),
}


class TestWorkedHistories:
    @pytest.mark.parametrize(("events", "until", "expected"), WORKED.values(), ids=WORKED)
    async def test_as_they_happen_with_the_clock(
        self,
        shop: Shop,
        database: Database,
        events: list[Sent],
        until: str,
        expected: list[tuple[str, int, str, str]],
    ) -> None:
        await shop.live_through(events, at(until))
        assert await shop.story() == expected
        assert await verify(database, shop.rules_by_store) == []

    @pytest.mark.parametrize(("events", "until", "expected"), WORKED.values(), ids=WORKED)
    async def test_backwards_in_one_batch_long_after(
        self, shop: Shop, events: list[Sent], until: str, expected: list[tuple[str, int, str, str]]
    ) -> None:
        await shop.send(*reversed(events), now=at(until))
        assert await shop.story() == expected
