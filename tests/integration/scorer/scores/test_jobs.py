"""The publisher's source: what it computes when answers come, and when only time passes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.scorer.scores.jobs import ScoreSource
from shared.db import asyncpg_connection
from shared.events.scores import Figure, ScoreChanged
from shared.kafka import State
from tests.integration.scorer.builders import DAY, NOON, Shop, answer, at, retract


class Desk:
    """A publisher of one shop, without Kafka, whose present is `now`."""

    def __init__(self, shop: Shop, *, now: datetime = NOON, interval: float = 0) -> None:
        self.shop = shop
        self.now = now
        self.source = ScoreSource(shop.counter, interval, busy_share=1.0, clock=lambda: self.now)

    async def prepare(self) -> None:
        async with self.shop.database.transaction() as session:
            await self.source.prepare(session)

    async def waiting(self) -> list[State]:
        async with self.shop.database.transaction() as session:
            states = await self.source.unpublished(session, 10_000)
        return [state for state in states if state.event.store == self.shop.name]

    async def sent(self, states: Sequence[State]) -> None:
        async with self.shop.database.transaction() as session:
            await self.source.published(session, states)

    async def round(self, **moved: Any) -> dict[tuple[str, str, str], ScoreChanged]:
        """A publisher's round; returns the events by (segment, touchpoint, window)."""
        self.now += timedelta(**moved)
        await self.prepare()
        states = await self.waiting()
        await self.sent(states)
        events = [state.event for state in states]
        assert all(isinstance(event, ScoreChanged) for event in events)
        found = {(e.segment, e.touchpoint, e.window): e for e in events}  # type: ignore[attr-defined]
        assert len(found) == len(events)
        return found  # type: ignore[return-value]


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def groups(event: ScoreChanged) -> tuple[int | None, int | None, int | None]:
    return event.figure.promoters, event.figure.passives, event.figure.detractors


WHOLE = ("", "", "7d")


class TestAnswers:
    async def test_every_series_over_every_window(self, shop: Shop) -> None:
        shop.configure(segments={"country": {}}, windows=["7d", "30d"])
        desk = Desk(shop)
        await shop.send(answer("a", segments={"country": "NL"}))
        found = await desk.round()
        assert set(found) == {
            (segment, touchpoint, window)
            for segment, touchpoint in [("", ""), ("", "unknown"), ("tier:unknown", ""), ("country:NL", "")]
            for window in ("7d", "30d")
        }
        assert {event.seq for event in found.values()} == {milliseconds(NOON)}
        assert all(event.as_of == NOON and event.previous is None for event in found.values())

    async def test_nothing_new_nothing_said(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(answer("a"))
        await desk.round()
        await shop.send(answer("a"))
        assert await desk.round(seconds=1) == {}

    async def test_a_change_says_what_was_published_before(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(answer("a", 9))
        first = (await desk.round())[WHOLE]
        await shop.send(answer("b", 3))
        second = (await desk.round(seconds=1))[WHOLE]
        assert (groups(second), second.seq) == ((1, 0, 1), milliseconds(desk.now))
        assert second.previous == first.figure

    async def test_what_was_never_sent_is_not_called_previous(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(answer("a", 9))
        first = (await desk.round())[WHOLE]
        await shop.send(answer("b", 3))
        await desk.prepare()  # Kafka is away
        await shop.send(answer("c", 3))
        third = (await desk.round(seconds=1))[WHOLE]
        assert (groups(third), third.seq, third.previous) == ((1, 0, 2), milliseconds(desk.now), first.figure)

    async def test_two_changes_at_one_moment_are_told_apart(self, shop: Shop) -> None:
        desk = Desk(shop)
        for name, seq in (("a", 0), ("b", 1)):
            await shop.send(answer(name, 9))
            assert (await desk.round())[WHOLE].seq == milliseconds(NOON) + seq

    async def test_what_a_restored_database_says_is_newer_than_what_it_forgot(self, shop: Shop) -> None:
        """Consumers ignore a lower `seq` than they heard."""
        desk = Desk(shop)
        await shop.send(answer("a", 9))
        heard = [(await desk.round())[WHOLE].seq]
        for name in ("b", "c", "d"):
            await shop.send(answer(name, 3))
            heard.append((await desk.round())[WHOLE].seq)
        async with shop.database.transaction() as session:
            await (await asyncpg_connection(session)).execute(
                """UPDATE scorer.scores c SET seq = $2, published_seq = $2 FROM scorer.series s
                   WHERE s.id = c.series AND s.store = $1""",
                shop.name,
                heard[0],
            )
        await shop.send(answer("e", 8))
        assert (await desk.round(seconds=1))[WHOLE].seq > max(heard)

    async def test_at_most_once_an_interval(self, shop: Shop) -> None:
        desk = Desk(shop, interval=60)
        await shop.send(answer("a"))
        assert await desk.round()
        await shop.send(answer("b"))
        assert await desk.round(seconds=30) == {}

    async def test_only_what_is_shown_counts_as_a_change(self, shop: Shop) -> None:
        shop.configure(hide_below={"nps": 3})
        desk = Desk(shop)
        await shop.send(answer("a"))
        hidden = (await desk.round())[WHOLE]
        assert hidden.figure == Figure(confidence="suppressed", hidden="fewer than 3 answers")
        await shop.send(answer("b"))
        assert await desk.round(seconds=1) == {}
        await shop.send(answer("c"))
        shown = (await desk.round(seconds=1))[WHOLE]
        assert (shown.figure.n, shown.previous) == (3, hidden.figure)
        await shop.send(retract("c"))
        assert (await desk.round(seconds=1))[WHOLE].figure == Figure(
            confidence="suppressed", hidden="fewer than 3 answers"
        )

    async def test_a_retraction_leaves_an_empty_score(self, shop: Shop) -> None:
        shop.configure(hide_below={"nps": 3})
        desk = Desk(shop)
        await shop.send(answer("a"))
        await desk.round()
        await shop.send(retract("a"))
        event = (await desk.round(seconds=1))[WHOLE]
        assert (event.figure.n, event.figure.score) == (0, None)

    async def test_the_policy_of_the_store(self, shop: Shop) -> None:
        shop.configure(policy="latest")
        desk = Desk(shop, now=NOON + 2 * DAY)
        await shop.send(answer("a", 9, who="asha"), answer("b", 3, NOON + DAY, who="asha"))
        event = (await desk.round())[WHOLE]
        assert (event.policy, groups(event)) == ("latest", (0, 0, 1))


class TestTime:
    @pytest.mark.parametrize("hours_counted", [False, True])
    async def test_each_answer_leaves_at_its_moment(self, shop: Shop, hours_counted: bool) -> None:
        """The head of the window, its whole days and today: the oldest of all three leaves first."""
        shop.configure(windows=["7d"], timezone="Europe/Amsterdam")
        desk = Desk(shop)
        moments = [
            NOON - timedelta(days=6, hours=20),
            NOON - 4 * DAY,
            NOON - 2 * DAY,
            NOON - timedelta(hours=1),
        ]
        await shop.send(*[answer(f"r{i}", 9, moment) for i, moment in enumerate(moments)])
        if hours_counted:
            await shop.count_hours()
        assert groups((await desk.round())[WHOLE]) == (4, 0, 0)
        for left, moment in enumerate(moments, 1):
            desk.now = moment + 7 * DAY - timedelta(microseconds=1)
            assert await desk.round() == {}
            event = (await desk.round(microseconds=1))[WHOLE]
            assert (event.figure.n, event.as_of) == (4 - left, desk.now)
            assert event.seq == milliseconds(desk.now)

    async def test_an_answer_that_was_given_earlier_after_all_leaves_earlier(self, shop: Shop) -> None:
        """The winner has the loser's day and score: no bucket changes, and still time does."""
        shop.configure(windows=["7d"])
        desk = Desk(shop)
        await shop.send(answer("a", 9, NOON - timedelta(minutes=5), ce_id="ce-2", fingerprint="x"))
        await desk.round()
        await shop.send(answer("a", 9, NOON - timedelta(minutes=9), ce_id="ce-1", fingerprint="x"))
        assert await desk.round(seconds=1) == {}
        desk.now = NOON - timedelta(minutes=9) + 7 * DAY
        assert (await desk.round())[WHOLE].figure.n == 0

    async def test_a_score_of_old_answers_only_still_empties(self, shop: Shop) -> None:
        shop.configure(windows=["30d"])
        desk = Desk(shop)
        await shop.send(answer("a", 9, NOON - 20 * DAY))
        assert (await desk.round())["", "", "30d"].figure.n == 1
        assert await desk.round(days=5) == {}
        assert (await desk.round(days=6))["", "", "30d"].figure.n == 0
        assert await desk.round(days=99) == {}

    async def test_an_answer_ahead_of_our_clock_comes_in_when_its_time_comes(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(answer("a", 9, NOON + timedelta(seconds=2)))
        assert (await desk.round())[WHOLE].figure.n == 0
        assert await desk.round(seconds=1) == {}
        assert (await desk.round(seconds=1))[WHOLE].figure.n == 1


class TestConfiguration:
    async def test_comes_to_rest_after_another_policy_or_window(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha"))
        await Desk(shop).round()
        for rules in ({"policy": "latest"}, {"policy": "latest", "windows": ["7d", "90d", "90d"]}):
            desk = Desk(shop.configure(**rules))
            await shop.send(answer(f"more-{len(rules)}"))
            assert await desk.round()
            computed = await shop.rows(COMPUTED)
            await desk.round(seconds=1)
            assert await shop.rows(COMPUTED) == computed

    async def test_a_new_window_is_published_without_a_new_answer(self, shop: Shop) -> None:
        await shop.send(answer("a"))
        await Desk(shop.configure(windows=["7d"])).round()
        found = await Desk(shop.configure(windows=["7d", "90d"])).round()
        assert {window for _, _, window in found} == {"90d"}

    async def test_other_scales_are_left_to_the_api(self, shop: Shop) -> None:
        await shop.send(
            answer("a", 5, metric="csat", scale="1-7"), answer("b", 5, metric="csat", scale="1-5")
        )
        found = await Desk(shop).round()
        assert {event.metric for event in found.values()} == {"csat"}
        assert (
            await shop.rows(
                "SELECT count(*) FROM scorer.scores JOIN scorer.series s ON s.id = series"
                " WHERE store = $1 AND scale = '1-7'"
            )
        ) == [(0,)]


COMPUTED = """SELECT c.series, c.policy, c."window", c.computed_at FROM scorer.scores c
    JOIN scorer.series s ON s.id = c.series WHERE s.store = $1 ORDER BY 1, 2, 3"""


async def test_a_day_leaves_answer_by_answer(shop: Shop) -> None:
    """A whole day becomes ragged, and nothing is said of it until one of its answers leaves."""
    shop.configure(windows=["7d"])
    desk = Desk(shop)
    await shop.send(answer("a", 9, at("2025-02-25")), answer("b", 9, at("2025-02-25T18:00")))
    await desk.round()
    assert (await desk.round(days=2, hours=12))[WHOLE].figure.n == 1  # midnight itself has left
    assert await desk.round(hours=17) == {}
    assert (await desk.round(hours=1))[WHOLE].figure.n == 0
