"""Random lives of random answers: whatever the order, batches and partitions, the books say the truth."""

import asyncio
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.scorer.counting.store.series import Series
from services.scorer.scores.store.hours import pieces
from services.scorer.scores.store.tallies import tally
from shared.db import Database, asyncpg_connection
from shared.events.responses import Identity
from shared.feedback.windows import WINDOWS, split
from tests.integration.scorer.builders import US, Sent, Shop, amend, answer, at, batches, retract, tiers
from tests.integration.scorer.truth import Truth

PEOPLE = ["asha", "ben", "cleo", "dan", None]
RULES = {
    "segments": {"country": {"values": ["NL", "DE"]}, "plan": {}},
    "touchpoints": ["support", "delivery"],
    "combinations": [["country", "touchpoint"], ["plan", "country"], ["tier", "touchpoint"]],
}
ZONES = ["UTC", "Europe/Amsterdam", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"]
QUESTIONS = [("nps", "0-10", 10), ("nps", "0-10", 10), ("csat", "1-5", 5), ("ces", "1-5-effort", 5)]


def life(dice: random.Random, responses: int) -> list[Sent]:
    """Submissions, rivals, amendments, retractions and tiers over three weeks around a change of clocks.

    Some amendments are for one body only, or for an answer of another metric; some customers are claimed.
    """
    start = at("2024-03-20")

    def moment() -> datetime:
        day = start + timedelta(days=dice.randint(0, 20))
        return day + dice.choice(
            [timedelta(0), -US, US, timedelta(hours=23), timedelta(seconds=dice.randint(0, 86399))]
        )

    def body(number: int, envelope: str) -> Sent:
        metric, scale, best = dice.choice(QUESTIONS)
        who = dice.choice(PEOPLE)
        known = {"identity": Identity.CONFIDENTIAL} if who and dice.random() < 0.3 else {}
        return answer(
            f"r{number}",
            dice.randint(1, best),
            moment(),
            who=who,
            ce_id=envelope,
            metric=metric,
            scale=scale,
            test=dice.random() < 0.08,
            verified=dice.random() > 0.15,
            touchpoint=dice.choice(["support", "delivery", "typo", None]),
            segments={
                name: value
                for name, value in (("country", dice.choice(["NL", "DE", "XX"])), ("plan", dice.choice("ab")))
                if dice.random() < 0.8
            },
            **known,
        )

    events: list[Sent] = []
    for number in range(responses):
        bodies = [
            body(number, f"ce-{dice.randint(0, 99):02}-{number}-{i}")
            for i in range(1 + (dice.random() < 0.3))
        ]
        events += bodies
        events += [
            amend(
                f"r{number}",
                revision=dice.randint(1, 3),
                ce_id=f"am-{number}-{i}",
                score=dice.choice([1, 3, 5, 9, 99]),
                fingerprint=dice.choice([None, None, *(sent.event.fingerprint for sent in bodies)]),  # type: ignore[attr-defined]
                metric=dice.choice([None, None, None, "nps", "csat"]),
            )
            for i in range(dice.choice([0, 0, 1, 2]))
        ]
        if dice.random() < 0.2:
            events.append(retract(f"r{number}"))
    for who in filter(None, PEOPLE):
        since = sorted(moment() for _ in range(3))
        for seq in range(1, dice.randint(2, 4)):
            spells = [(when, dice.choice(["Bronze", "Silver", "Gold"])) for when in since[:seq]]
            events.append(tiers(who, *spells, seq=seq))
    return events


async def check(shop: Shop, truth: Truth, dice: random.Random) -> None:
    assert await shop.buckets() == truth.buckets()
    end = at("2024-04-20")
    cuts = sorted({cut for told in truth.answers for cut in told.cuts})
    for window, length in WINDOWS.items():
        for metric, scale in {question[:2] for question in QUESTIONS}:
            for segment, touchpoint in dice.sample(cuts, k=min(3, len(cuts))):
                asked = {"segment": segment, "touchpoint": touchpoint}
                truly = asked | {"metric": (metric, scale)}
                asked |= {"metric": metric, "scale": scale}
                told = dice.choice(truth.answers)
                as_of = dice.choice([told.at, told.at + length, told.at + length - US, end])
                for policy, moment, present in (
                    ("all", as_of, False),
                    ("latest", as_of, False),
                    ("latest", end, True),
                ):
                    found = await shop.tally(moment, window, policy=policy, present=present, **asked)
                    counts = (found.counts.promoters, found.counts.passives, found.counts.detractors)
                    assert counts == truth.counts(moment, length.days, policy=policy, **truly)
                    assert found.confidential == truth.confidential(
                        moment, length.days, policy=policy, **truly
                    )


@pytest.mark.parametrize("seed", range(16))
async def test_ends_in_the_truth(database: Database, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    events = life(dice, 40)
    rules = {**RULES, "timezone": dice.choice(ZONES)}
    states = []
    for _ in range(2):
        shop = Shop(database, tmp_path, partitions=dice.choice([1, 3, 6])).configure(**rules)
        arriving = events + dice.choices(events, k=len(events) // 2)
        dice.shuffle(arriving)
        for batch in batches(arriving, dice.sample(range(len(arriving)), k=dice.choice([0, 5, 40]))):
            await shop.send(*batch)
            if dice.random() < 0.2:
                await shop.count_hours()
        truth = Truth(events, shop.rules)
        await check(shop, truth, dice)
        await shop.count_hours()
        assert await shop.hours_in_use() == len(
            {told.at.replace(minute=0, second=0, microsecond=0) for told in truth.answers}
        )
        await check(shop, truth, dice)
        state = await shop.state()
        await shop.send(*dice.sample(events, k=len(events)))
        assert await shop.state() == state
        states.append(state)
    assert states[0] == states[1]


@pytest.mark.parametrize("seed", range(4))
async def test_several_writers_at_once_end_in_the_truth_without_a_deadlock(
    database: Database, tmp_path: Path, seed: int
) -> None:
    """Each has its own partitions and order; their customers and series are the same."""
    dice = random.Random(100 + seed)
    events = life(dice, 120)
    shop = Shop(database, tmp_path, partitions=3).configure(**RULES)
    lanes: list[list[Sent]] = [[], [], []]
    for sent in events + events:
        lanes[shop.received(sent).partition].append(sent)
    for lane in lanes:
        dice.shuffle(lane)

    async def write(lane: list[Sent]) -> int:
        size = random.Random(seed).choice([7, 40, 500])
        return sum([await shop.send_despite_others(*lane[i : i + size]) for i in range(0, len(lane), size)])

    before = await shop.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND $1 <> ''"
    )
    async with asyncio.timeout(60):
        await asyncio.gather(*map(write, lanes))
    await asyncio.sleep(1.1)  # statistics come once a second
    after = await shop.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND $1 <> ''"
    )
    assert after == before
    await check(shop, Truth(events, shop.rules), dice)


async def test_every_snapshot_is_exact_while_everything_moves(database: Database, tmp_path: Path) -> None:
    """Writers write, the job counts hours, and each reader compares with a plain count of what it sees."""
    dice = random.Random(7)
    shop = Shop(database, tmp_path, partitions=2).configure(**RULES, timezone="Asia/Kathmandu")
    events = life(dice, 200)
    done = asyncio.Event()
    compared = used = 0

    async def write(partition: int) -> None:
        lane = [sent for sent in events if shop.received(sent).partition == partition]
        for batch in batches(lane, range(0, len(lane), 3)):
            await shop.send_despite_others(*batch)

    async def count_hours() -> None:
        while not done.is_set():
            await shop.count_hours()

    async def read(dice: random.Random) -> None:
        nonlocal compared, used
        while not done.is_set():
            as_of = at("2024-04-01") + timedelta(seconds=dice.randint(0, 8 * 86400))
            for policy in ("all", "latest"):
                async with database.snapshot() as session:
                    db = await asyncpg_connection(session)
                    series = await shop.counter.series_ids.find(db, Series(shop.name, "nps", "0-10", "", ""))
                    if series is None:
                        break
                    part = split(as_of, timedelta(days=7), shop.config.stores[shop.name].zone)
                    ends = [end for end in (part.head, part.tail) if end]
                    used += len((await pieces(db, shop.name, ends)).hours)
                    found = await tally(db, shop.name, series, part, latest=policy == "latest")
                    plain = await db.fetchrow(
                        """SELECT count(*) FILTER (WHERE grp = 1), count(*) FILTER (WHERE grp = 0),
                                  count(*) FILTER (WHERE grp = -1), coalesce(sum(score), 0)
                           FROM scorer.answers WHERE store = $1 AND metric = 'nps' AND series IS NOT NULL
                            AND answered_at > $2 AND answered_at <= $3 AND (latest OR $4)""",
                        shop.name,
                        as_of - timedelta(days=7),
                        as_of,
                        policy == "all",
                    )
                counts = found.counts
                compared += 1
                assert (counts.promoters, counts.passives, counts.detractors, found.points) == tuple(plain)

    readers = [asyncio.create_task(read(random.Random(seed))) for seed in range(2)]
    counter = asyncio.create_task(count_hours())
    async with asyncio.timeout(90):
        await asyncio.gather(write(0), write(1))
        await asyncio.sleep(0.5)
        done.set()
        await asyncio.gather(counter, *readers)
    assert compared > 50
    assert used > 50
    await check(shop, Truth(events, shop.rules), dice)
