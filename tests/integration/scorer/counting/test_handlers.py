"""Each handler on real rows: run twice, in any order, and what it leaves."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from shared.db import Database, Inbox
from shared.events import Event, encode
from shared.events.responses import Identity
from shared.kafka import Applier
from tests.integration.scorer.builders import DAY, NOON, US, Sent, Shop, amend, answer, at, retract, tiers
from tests.integration.scorer.truth import Truth

LATER = NOON + 5 * DAY


class TestCountAnswers:
    async def test_a_new_answer_counts_at_once_and_only_once(self, shop: Shop) -> None:
        assert await shop.send(answer("a", 9), answer("b", 7), answer("c", 3)) == {"ok": 3}
        assert await shop.counts(LATER) == (1, 1, 1)
        await shop.send_twice(answer("a", 9), answer("b", 7), answer("c", 3))
        assert await shop.counts(LATER) == (1, 1, 1)

    async def test_a_new_answer_whose_amendment_came_first_is_in_the_metrics_too(self, shop: Shop) -> None:
        def scores() -> float:
            names = {"category": "promoter", "channel": "kiosk"}
            return REGISTRY.get_sample_value("closeloop_scores_total", names) or 0.0

        before = scores()
        await shop.send(amend("a", score=9))
        await shop.send_twice(answer("a", 3, channel="kiosk"))
        await shop.send(amend("a", score=10, revision=2))
        await shop.send_twice(answer("b", 9, channel="kiosk"))
        assert scores() == before + 2

    async def test_a_repeat_within_its_batch_is_a_duplicate(self, shop: Shop) -> None:
        assert await shop.send(answer("a"), answer("a")) == {"ok": 1, "duplicate": 1}
        assert await shop.counts(LATER) == (1, 0, 0)

    async def test_an_amendment_moves_it(self, shop: Shop) -> None:
        await shop.send(answer("a", 3))
        await shop.send_twice(amend("a", score=9, comment="better"))
        assert await shop.counts(LATER) == (1, 0, 0)
        assert (await shop.tally(LATER)).points == 9

    async def test_an_amendment_waits_for_its_original(self, shop: Shop) -> None:
        await shop.send_twice(amend("a", score=9))
        assert await shop.counts(LATER) == (0, 0, 0)
        await shop.send_twice(answer("a", 3, who="asha"))
        assert await shop.counts(LATER) == (1, 0, 0)
        assert await shop.counts(LATER, policy="latest", present=True) == (1, 0, 0)

    async def test_a_comment_alone_moves_nothing(self, shop: Shop) -> None:
        await shop.send(answer("a", 3))
        writes = await shop.writes()
        await shop.send(amend("a", comment="so slow"))
        assert await shop.writes() == writes

    async def test_a_score_that_is_not_of_the_scale_is_kept_and_not_counted(self, shop: Shop) -> None:
        await shop.send(answer("a", 3))
        await shop.send_twice(amend("a", score=11))
        assert await shop.counts(LATER) == (0, 0, 1)

    async def test_a_retraction_takes_it_away_for_good(self, shop: Shop) -> None:
        await shop.send(answer("a"))
        await shop.send_twice(retract("a"))
        await shop.send_twice(amend("a", score=10, revision=9))
        await shop.send_twice(answer("a", 4, ce_id="ce-0"))
        assert await shop.counts(LATER) == (0, 0, 0)
        assert await shop.buckets() == {}

    async def test_a_retraction_may_come_first(self, shop: Shop) -> None:
        await shop.send_twice(retract("a"))
        await shop.send_twice(answer("a"))
        assert await shop.counts(LATER) == (0, 0, 0)

    async def test_a_retraction_brings_back_the_customers_earlier_answer(self, shop: Shop) -> None:
        await shop.send(answer("a", 9, NOON, who="asha"))
        await shop.send(answer("b", 3, NOON + DAY, who="asha"))
        assert await shop.counts(LATER, policy="latest", present=True) == (0, 0, 1)
        await shop.send_twice(retract("b"))
        assert await shop.counts(LATER, policy="latest", present=True) == (1, 0, 0)

    async def test_an_older_answer_that_comes_late_is_not_the_latest(self, shop: Shop) -> None:
        await shop.send(answer("b", 3, NOON + DAY, who="asha"))
        await shop.send_twice(answer("a", 9, NOON, who="asha"))
        assert await shop.counts(LATER, policy="latest", present=True) == (0, 0, 1)
        assert await shop.counts(LATER) == (1, 0, 1)

    async def test_the_latest_is_one_for_each_question(self, shop: Shop) -> None:
        await shop.send(answer("a", 9, NOON, who="asha"))
        await shop.send(answer("b", 2, NOON + DAY, who="asha", metric="csat", scale="1-5"))
        assert await shop.counts(LATER, policy="latest", present=True) == (1, 0, 0)
        assert await shop.counts(LATER, policy="latest", present=True, metric="csat") == (0, 0, 1)

    async def test_an_anonymous_answer_is_nobodys(self, shop: Shop) -> None:
        for name in ("a", "b"):
            await shop.send(answer(name, who="asha", identity=Identity.ANONYMOUS))
        assert await shop.counts(LATER, policy="latest", present=True) == (2, 0, 0)

    async def test_test_answers_are_stored_and_never_counted(self, shop: Shop) -> None:
        await shop.send_twice(answer("a", test=True, who="asha"))
        assert await shop.buckets() == {}
        assert len(await shop.rows("SELECT 1 FROM scorer.answers WHERE store = $1")) == 1


class TestRivals:
    async def test_the_lowest_envelope_wins_in_either_order(self, shop: Shop, database: Database) -> None:
        high, low = answer("a", 9, ce_id="ce-2"), answer("a", 3, ce_id="ce-1")
        states = []
        for order in ((high, low), (low, high)):
            own = Shop(database, shop.folder)
            assert await own.send(order[0]) == {"ok": 1}
            assert await own.send(order[1]) == {"conflict": 1}
            assert await own.counts(LATER) == (0, 0, 1)
            await own.send_twice(high, low)
            states.append(await own.state())
        assert states[0] == states[1]
        assert len(states[0]["conflicts"]) == 1

    async def test_a_winner_takes_the_answer_elsewhere(self, shop: Shop) -> None:
        """Another respondent, another time, another scale; the loser's people get back what they had."""
        shop.configure(timezone="Europe/Amsterdam", segments={"country": {}})
        await shop.send(answer("old", 8, NOON - DAY, who="asha"), answer("bens", 7, NOON, who="ben"))
        await shop.send(answer("a", 9, NOON, who="asha", ce_id="ce-5", segments={"country": "NL"}))
        assert await shop.counts(LATER, policy="latest", present=True) == (1, 1, 0)
        winner = answer(
            "a",
            2,
            NOON + DAY,
            who="ben",
            ce_id="ce-2",
            metric="csat",
            scale="1-5",
            segments={"country": "DE"},
        )
        await shop.send_twice(winner)
        assert await shop.counts(LATER, policy="latest", present=True) == (0, 2, 0)
        assert await shop.counts(LATER, policy="latest", present=True, metric="csat") == (0, 0, 1)
        assert await shop.counts(LATER, segment="country:NL") == (0, 0, 0)
        assert await shop.counts(LATER, segment="country:DE", metric="csat") == (0, 0, 1)
        lowest = answer("a", 10, NOON + 2 * DAY, who="ben", ce_id="ce-1")
        await shop.send_twice(lowest)
        assert await shop.counts(LATER, policy="latest", present=True) == (1, 1, 0)
        assert (await shop.state())["buckets"] == sorted(
            Truth(
                [answer("old", 8, NOON - DAY, who="asha"), answer("bens", 7, NOON, who="ben"), lowest],
                shop.rules,
            )
            .buckets()
            .items()
        )

    async def test_a_rival_that_is_a_test_takes_the_answer_out(self, shop: Shop) -> None:
        await shop.send(answer("a", 9, ce_id="ce-2"))
        await shop.send_twice(answer("a", 3, ce_id="ce-1", test=True))
        assert await shop.buckets() == {}

    async def test_a_loser_that_came_earlier_after_all_is_no_conflict_any_more(self, shop: Shop) -> None:
        await shop.send(answer("a", 9, ce_id="ce-5"))
        await shop.send(answer("a", 3, ce_id="ce-3"))
        await shop.send(answer("a", 9, ce_id="ce-1"))
        assert await shop.counts(LATER) == (1, 0, 0)
        losers = await shop.rows("SELECT ce_id FROM scorer.conflicts WHERE store = $1")
        assert losers == [("ce-3",)]

    async def test_rivals_within_one_batch(self, shop: Shop) -> None:
        batch = [answer("a", 9, ce_id="ce-5"), answer("a", 3, ce_id="ce-3"), answer("a", 9, ce_id="ce-1")]
        assert await shop.send(*batch) == {"ok": 1, "conflict": 2}
        assert await shop.counts(LATER) == (1, 0, 0)
        assert await shop.rows("SELECT ce_id FROM scorer.conflicts WHERE store = $1") == [("ce-3",)]


class TestMoveTiers:
    GOLD = tiers("asha", (NOON - 9 * DAY, "Gold"))

    async def counted_as(self, shop: Shop, *names: str) -> list[int]:
        return [sum(await shop.counts(LATER, segment=f"tier:{name}")) for name in names]

    async def test_before_the_answers(self, shop: Shop) -> None:
        await shop.send_twice(self.GOLD)
        await shop.send_twice(answer("a", who="asha"))
        assert await self.counted_as(shop, "Gold", "unknown") == [1, 0]

    async def test_after_the_answers(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha"), answer("b", who="ben"), answer("c"))
        await shop.send_twice(self.GOLD)
        assert await self.counted_as(shop, "Gold", "unknown") == [1, 2]

    async def test_in_one_batch_with_them(self, shop: Shop) -> None:
        await shop.send_twice(answer("a", who="asha"), self.GOLD)
        assert await self.counted_as(shop, "Gold", "unknown") == [1, 0]

    async def test_only_what_the_new_history_says_is_moved(self, shop: Shop) -> None:
        await shop.send(answer("a", when=NOON, who="asha"), answer("b", when=NOON + 2 * DAY, who="asha"))
        await shop.send(self.GOLD)
        await shop.send_twice(tiers("asha", (NOON - 9 * DAY, "Gold"), (NOON + DAY, "Silver"), seq=2))
        assert await self.counted_as(shop, "Gold", "Silver", "unknown") == [1, 1, 0]

    async def test_old_news_are_ignored(self, shop: Shop) -> None:
        await shop.send(tiers("asha", (NOON - 9 * DAY, "Silver"), seq=7))
        await shop.send(answer("a", who="asha"))
        assert await shop.send(tiers("asha", (NOON - 9 * DAY, "Gold"), seq=6)) == {"ok": 0, "duplicate": 1}
        assert await self.counted_as(shop, "Silver", "Gold") == [1, 0]

    async def test_the_newest_of_a_batch_stands(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha"))
        newest, old = tiers("asha", (NOON - DAY, "Silver"), seq=7), tiers("asha", (NOON - DAY, "Gold"), seq=6)
        await shop.send_twice(newest, old)
        assert await self.counted_as(shop, "Silver", "Gold") == [1, 0]

    @pytest.mark.parametrize(("late_by", "tier"), [(-US, "unknown"), (timedelta(0), "unknown"), (US, "Gold")])
    async def test_a_change_at_the_very_moment_comes_too_late(
        self, shop: Shop, late_by: timedelta, tier: str
    ) -> None:
        await shop.send(tiers("asha", (NOON, "Gold")))
        await shop.send(answer("a", when=NOON + late_by, who="asha"))
        assert await self.counted_as(shop, tier) == [1]

    async def test_a_tier_of_nobody_who_ever_answered(self, shop: Shop) -> None:
        await shop.send_twice(self.GOLD)
        assert await shop.buckets() == {}

    async def test_a_retracted_answer_stays_away(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha"))
        await shop.send(retract("a"))
        await shop.send_twice(self.GOLD)
        assert await shop.buckets() == {}


class TestStores:
    async def test_a_store_that_is_not_configured_keeps_its_answers_uncounted(self, shop: Shop) -> None:
        shop.without_store()
        await shop.send_twice(answer("a", who="asha"), answer("b", who="asha"), tiers("asha", (NOON, "Gold")))
        await shop.send_twice(amend("a", score=3), retract("b"))
        assert await shop.buckets() == {}
        assert len(await shop.rows("SELECT 1 FROM scorer.answers WHERE store = $1")) == 2

    async def test_two_stores_share_nothing(self, shop: Shop, database: Database) -> None:
        other = Shop(database, shop.folder)
        for one in (shop, other):
            await one.send(answer("a", who="asha"))
        await other.send(retract("a"))
        assert await shop.counts(LATER) == (1, 0, 0)
        assert await other.counts(LATER) == (0, 0, 0)


class TestMetrics:
    async def test_each_question_on_its_own_scale(self, shop: Shop) -> None:
        await shop.send_twice(
            answer("a", 4, metric="csat", scale="1-5"),
            answer("b", 4, metric="csat", scale="1-7"),
            answer("c", 2, metric="ces", scale="1-5-effort"),
            answer("d", 2, metric="ces", scale="1-7"),
            answer("e", 5, metric="enps", scale="1-5"),
        )
        assert await shop.counts(LATER, metric="csat") == (1, 0, 0)
        assert await shop.counts(LATER, metric="csat", scale="1-7") == (0, 1, 0)
        assert await shop.counts(LATER, metric="ces", scale="1-5-effort") == (1, 0, 0)
        assert await shop.counts(LATER, metric="ces") == (0, 0, 1)
        assert await shop.counts(LATER, metric="enps", scale="1-5") == (1, 0, 0)
        assert await shop.counts(LATER) == (0, 0, 0)


class TestWindows:
    @pytest.mark.parametrize("window", ["7d", "30d", "90d", "365d"])
    @pytest.mark.parametrize("hour", ["00:00", "12:34:56.789012", "23:59:59.999999", "05:00"])
    async def test_to_the_microsecond_at_both_ends(self, shop: Shop, window: str, hour: str) -> None:
        """Exactly W old has left; at as_of is in. New York: midnight there is no midnight in UTC."""
        shop.configure(timezone="America/New_York")
        as_of = at(f"2026-11-05T{hour}")
        old = as_of - timedelta(days=int(window[:-1]))
        await shop.send(
            answer("left", 9, old),
            answer("stays", 7, old + US),
            answer("now", 3, as_of),
            answer("ahead", 9, as_of + US),
        )
        assert await shop.counts(as_of, window) == (0, 1, 1)
        assert await shop.counts(as_of, window, policy="latest") == (0, 1, 1)

    @pytest.mark.parametrize(
        ("zone", "day"),
        [
            ("Europe/Amsterdam", "2026-03-29"),
            ("Europe/Amsterdam", "2026-10-25"),
            ("America/New_York", "2026-03-08"),
            ("Africa/Cairo", "2026-04-24"),
            ("Atlantic/Azores", "2026-10-25"),
            ("Pacific/Apia", "2011-12-30"),
        ],
    )
    async def test_around_the_days_when_clocks_change(self, shop: Shop, zone: str, day: str) -> None:
        shop.configure(timezone=zone)
        middle = at(day)
        events = [answer(f"r{h}", h % 11, middle + timedelta(minutes=30 * h)) for h in range(-72, 72)]
        await shop.send(*events)
        truth = Truth(events, shop.rules)
        assert await shop.buckets() == truth.buckets()
        for hours in range(24 * 6, 24 * 10, 5):
            as_of = middle + timedelta(hours=hours)
            assert await shop.counts(as_of, "7d") == truth.counts(as_of, 7)


class TestPoison:
    """What cannot be counted is buried alone, and leaves nothing behind."""

    def record(self, sent: Sent, shop: Shop, offset: int, **changes: Any) -> SimpleNamespace:
        event: Event = sent.event.model_copy(update={"store": shop.name, **changes})
        key, value, headers = encode(event, source="test", event_id=sent.ce_id)
        return SimpleNamespace(
            topic=event.topic.name,
            partition=0,
            offset=offset,
            key=key,
            value=value,
            headers=headers,
            timestamp=0,
        )

    async def test_a_series_that_was_rolled_back_is_not_remembered(
        self, shop: Shop, database: Database
    ) -> None:
        shop.configure(segments={"country": {}})
        inbox = Inbox("scorer", f"test-{uuid4().hex[:8]}")
        applier = Applier(database, inbox, shop.handlers)
        async with database.transaction() as session:
            await inbox.begin(session, "feedback.responses.v1", 0, 0)
        places = {"country": "NL"}
        records = [
            self.record(answer("a", 11, segments=places), shop, 0),
            self.record(answer("b", 9, segments=places), shop, 1),
            self.record(answer("c", 3, metric="nonsense"), shop, 2),
            self.record(answer("d", 3, segments=places), shop, 3),
        ]
        for record in records:
            await applier.apply([applier.read(record, record.offset)])
        buried = await shop.rows(
            """SELECT "offset", reason, detail FROM scorer.dead_letters
               WHERE consumer = $2 AND $1 <> $2 ORDER BY 1""",
            inbox.consumer,
        )
        assert buried == [(0, "handler_failed", "InvalidScore"), (2, "handler_failed", "UnknownScale")]
        assert await shop.counts(LATER, segment="country:NL") == (1, 0, 1)
        ghosts = await shop.rows(
            """SELECT DISTINCT x FROM scorer.answers a, unnest(a.series) AS x
               WHERE a.store = $1 AND NOT EXISTS (SELECT 1 FROM scorer.series s WHERE s.id = x)"""
        )
        assert ghosts == []
