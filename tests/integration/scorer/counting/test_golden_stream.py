"""The golden stream of the domain (section 3), in many orders, each with repeats, through the handlers."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from shared.db import Database
from shared.feedback.nps import round1, score
from tests.integration.scorer.builders import Sent, Shop, amend, answer, at, batches

ARRIVALS: list[tuple[str, Sent]] = [
    ("2025-01-05", answer("r1", 9, "2025-01-05", who="c1")),
    ("2025-01-10", answer("r2", 6, "2025-01-10", who="c2")),
    ("2025-01-20", answer("r3", 8, "2025-01-20", who="c3")),
    ("2025-02-01", answer("r4", 10, "2025-02-01", who="c4")),
    ("2025-02-02", answer("r4", 10, "2025-02-01", who="c4")),
    ("2025-02-03", answer("r5", 3, "2025-02-03", who="c1")),
    ("2025-02-05", answer("r6", 9, "2025-01-25", who="c5")),
    ("2025-02-06", amend("r2", score=9)),
    ("2025-02-07", answer("r7", 10, "2025-02-07")),
    ("2025-02-10", answer("r8", 0, "2025-01-02", who="c6")),
]
"""e10, a score of 11, is refused at the door."""

TABLE = [
    # as of, known by, latest a customer, all answers
    ("2025-01-31", "2025-01-31", (1, 1, 1), (1, 1, 1)),
    ("2025-02-03", "2025-02-03", (1, 1, 2), (2, 1, 2)),
    ("2025-02-04", "2025-02-04", (1, 1, 2), (1, 1, 2)),
    ("2025-02-04", "2025-02-06", (3, 1, 1), (3, 1, 1)),
    ("2025-02-10", "2025-02-10", (3, 1, 1), (3, 1, 1)),
    ("2025-04-01", "2025-04-01", (0, 0, 0), (0, 0, 0)),
]
RESTATED = [
    # what the same days say once everything is known
    ("2025-01-31", (3, 1, 1), (3, 1, 1)),
    ("2025-02-03", (3, 1, 1), (4, 1, 1)),
    ("2025-02-04", (3, 1, 1), (3, 1, 1)),
    ("2025-02-10", (3, 1, 1), (3, 1, 1)),
    ("2025-04-01", (0, 0, 0), (0, 0, 0)),
]
ZONES = ["UTC", "Europe/Amsterdam", "Pacific/Auckland", "America/St_Johns"]


async def arrive(shop: Shop, events: list[Sent], dice: random.Random) -> None:
    """In any order, some of them several times, in batches of any size over any partitions."""
    mixed = events + dice.choices(events, k=dice.randint(1, len(events)))
    dice.shuffle(mixed)
    for batch in batches(mixed, dice.sample(range(len(mixed)), k=min(3, len(mixed)))):
        await shop.send(*batch)


def shop_of(database: Database, folder: Path, dice: random.Random) -> Shop:
    return Shop(database, folder, partitions=dice.choice([1, 2, 6])).configure(timezone=dice.choice(ZONES))


@pytest.mark.parametrize("seed", range(25))
async def test_at_each_point_of_knowledge(database: Database, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    shop = shop_of(database, tmp_path, dice)
    known: list[Sent] = []
    for as_of, known_by, latest, every in TABLE:
        fresh = [sent for arrived, sent in ARRIVALS if arrived <= known_by and sent not in known]
        known += fresh
        if fresh:
            await arrive(shop, fresh + dice.sample(known, k=len(known) // 2), dice)
        assert await shop.counts(as_of) == every
        assert await shop.counts(as_of, policy="latest") == latest
        assert await shop.counts(as_of, policy="latest", present=True) == latest


@pytest.mark.parametrize("seed", range(25))
async def test_in_one_go(database: Database, tmp_path: Path, seed: int) -> None:
    dice = random.Random(1000 + seed)
    shop = shop_of(database, tmp_path, dice)
    await arrive(shop, [sent for _, sent in ARRIVALS], dice)
    for as_of, latest, every in RESTATED:
        assert await shop.counts(as_of) == every
        assert await shop.counts(as_of, policy="latest") == latest


async def test_the_scores_of_the_table(shop: Shop) -> None:
    found = []
    known: list[Sent] = []
    for as_of, known_by, _, _ in TABLE:
        fresh = [sent for arrived, sent in ARRIVALS if arrived <= known_by and sent not in known]
        known += fresh
        if fresh:
            await shop.send(*fresh)
        both = [score((await shop.tally(as_of, policy=policy)).counts) for policy in ("latest", "all")]
        found.append(tuple(None if one is None else round1(one) for one in both))
    assert found == [(0, 0), (-25, 0), (-25, -25), (40, 40), (40, 40), (None, None)]


async def test_a_rolling_score_is_a_metric_and_no_average_of_scores(shop: Shop) -> None:
    days = [(9, 0, 1), (0, 1, 1), (1, 0, 3)]
    events = [
        answer(f"r-{day}-{group}-{i}", points, at("2025-01-06") + timedelta(days=day))
        for day, counts in enumerate(days)
        for group, (count, points) in enumerate(zip(counts, (9, 7, 3), strict=True))
        for i in range(count)
    ]
    await shop.send(*events)
    assert score((await shop.tally("2025-01-10")).counts) == 31.25
