"""A score is hidden where so few answers would tell who gave them, and nowhere else."""

from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import services.scorer
from services.scorer import operations
from services.scorer.counting.store import respondents, verification
from services.scorer.scores.figure import figure_of
from services.scorer.scores.gauges import ScoreGauges
from shared.db import asyncpg_connection
from shared.events.erasures import CustomerErased
from shared.events.responses import Identity
from shared.events.scores import Figure
from shared.feedback.metrics import Metric
from shared.ops import metrics
from tests.integration.scorer.builders import DAY, NOON, Sent, Shop, amend, answer, retract, tiers
from tests.integration.scorer.scores.test_jobs import WHOLE, Desk

WHY = "fewer than 5 answers"
(_FILE,) = (Path(services.scorer.__file__).parent / "migrations").glob("*_hiding.py")
MIGRATION = import_module(f"services.scorer.migrations.{_FILE.stem}")


def confidential(name: str, score: int = 9, when: datetime | str = NOON, **more: Any) -> Sent:
    return answer(name, score, when, **{"who": f"who-{name}", "identity": Identity.CONFIDENTIAL, **more})


async def figure(shop: Shop, as_of: datetime | str = NOON, window: str = "30d", **asked: Any) -> Figure:
    metric = Metric(asked.get("metric", "nps"))
    tally = await shop.tally(as_of, window, **asked)
    return figure_of(metric, tally, shop.config.stores[shop.name])


async def faults(shop: Shop) -> list[Any]:
    """What `closeloop verify` finds in this shop."""
    async with shop.database.snapshot() as session:
        db = await asyncpg_connection(session)
        found = [*await verification.bucket_faults(db), *await verification.hour_faults(db)]
        wrong: list[Any] = [fault for fault in found if fault.store == shop.name]
        async for answers in verification.all_answers(db, shop.name, 1000):
            spells = await respondents.read_spells(
                db, {(a.store, a.body.respondent) for a in answers if a.body and a.body.respondent}
            )
            wrong += await shop.counter.misplaced(db, answers, spells)
    return wrong


class TestAFirstAnswer:
    @pytest.mark.parametrize("identity", [Identity.IDENTIFIED, Identity.ANONYMOUS])
    async def test_is_shown(self, shop: Shop, identity: Identity) -> None:
        await shop.send(answer("a", 9, who="asha", identity=identity))
        found = await figure(shop)
        assert (found.n, found.score, found.confidence, found.hidden) == (1, 100.0, "low", None)
        assert found.ci95

    async def test_of_a_colleague_is_hidden_and_says_why(self, shop: Shop) -> None:
        await shop.send(*[answer(f"a{n}", 9, metric="enps", who=f"c{n}") for n in range(4)])
        assert await figure(shop, metric="enps") == Figure(confidence="suppressed", hidden=WHY)
        await shop.send(answer("a4", 0, metric="enps", who="c4"))
        assert (await figure(shop, metric="enps")).n == 5

    async def test_no_answer_is_not_hidden(self, shop: Shop) -> None:
        await shop.send(answer("a", 9, metric="enps"), retract("a"))
        found = await figure(shop, metric="enps")
        assert (found.n, found.score, found.hidden) == (0, None, None)


class TestAConfidentialAnswer:
    async def test_hides_each_score_that_counts_it_while_there_are_fewer_than_five(self, shop: Shop) -> None:
        shop.configure(segments={"country": {}})
        nl, de = {"segments": {"country": "NL"}}, {"segments": {"country": "DE"}}
        await shop.send(confidential("a", **nl), *[answer(f"b{n}", who=f"b{n}", **nl) for n in range(2)])
        await shop.send(answer("c", who="c", **de))
        assert (await figure(shop, segment="country:NL")).hidden == WHY
        assert (await figure(shop)).hidden == WHY
        shown = await figure(shop, segment="country:DE")
        assert (shown.n, shown.hidden) == (1, None)
        await shop.send(answer("d", who="d", **de))
        assert (await figure(shop)).n == 5
        assert (await figure(shop, segment="country:NL")).hidden == WHY

    @pytest.mark.parametrize("policy", ["all", "latest"])
    @pytest.mark.parametrize("hours", [False, True])
    async def test_hides_to_the_second_of_its_window(self, shop: Shop, policy: str, hours: bool) -> None:
        await shop.send(confidential("a", when=NOON), answer("b", when=NOON + DAY))
        if hours:
            await shop.count_hours()
        end = NOON + 7 * DAY
        before = await figure(shop, end - timedelta(microseconds=1), "7d", policy=policy)
        assert (before.n, before.hidden) == (None, WHY)
        after = await figure(shop, end, "7d", policy=policy)
        assert (after.n, after.hidden) == (1, None)

    async def test_of_before_the_last_one_hides_only_where_all_count(self, shop: Shop) -> None:
        await shop.send(confidential("a", who="asha"), answer("b", when=NOON + DAY, who="asha"))
        for present in (True, False):
            last = await figure(shop, NOON + DAY, policy="latest", present=present)
            assert (last.n, last.hidden) == (1, None)
        assert (await figure(shop, NOON + DAY, policy="all")).hidden == WHY

    async def test_hides_no_longer_once_it_is_retracted(self, shop: Shop) -> None:
        await shop.send(confidential("a"), answer("b"))
        await shop.send_twice(retract("a"))
        found = await figure(shop)
        assert (found.n, found.hidden) == (1, None)

    async def test_goes_on_hiding_when_amended_moved_or_recounted(self, shop: Shop) -> None:
        await shop.send(confidential("a", who="asha"))
        await shop.send_twice(amend("a", score=3))
        await shop.send_twice(tiers("asha", (NOON - DAY, "Gold")))
        assert (await figure(shop, segment="tier:Gold")).hidden == WHY
        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert (await figure(shop, segment="tier:Gold")).hidden == WHY
        assert await faults(shop) == []

    async def test_goes_on_hiding_when_its_customer_is_erased(self, shop: Shop) -> None:
        await shop.send(confidential("a", who="asha"), answer("b"))
        erasure = CustomerErased(store="shop", customer_ref="asha", erased_at=NOON + DAY)
        await shop.send_twice(Sent(erasure, "erasure"))
        await shop.send_twice(confidential("late", who="asha"))
        assert (await figure(shop)).hidden == WHY
        assert await faults(shop) == []

    async def test_is_any_whose_identity_this_release_does_not_know(self, shop: Shop) -> None:
        await shop.send(answer("a", who="asha", identity="pseudonymous"))
        assert (await figure(shop)).hidden == WHY


class TestPublished:
    async def test_says_why_and_nothing_of_what_it_was(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(confidential("a"), *[answer(f"b{n}") for n in range(4)])
        shown = (await desk.round())[WHOLE]
        assert shown.figure.n == 5
        await shop.send(retract("b0"))
        events = await desk.round(seconds=1)
        assert events[WHOLE].figure == Figure(confidence="suppressed", hidden=WHY)
        assert not [key for key in events if "confidential" in str(events[key].subject())]
        await shop.send(answer("c"), retract("b1"))
        assert WHOLE not in await desk.round(seconds=1)  # as many as before: nothing to tell

    async def test_is_computed_again_when_the_rules_change(self, shop: Shop) -> None:
        desk = Desk(shop)
        await shop.send(answer("a"))
        assert (await desk.round())[WHOLE].figure.n == 1
        shop.configure(hide_below={"nps": 3})
        desk = Desk(shop, now=desk.now)
        assert (await desk.round(seconds=1))[WHOLE].figure.hidden == "fewer than 3 answers"
        assert await desk.round(seconds=1) == {}

    async def test_has_no_gauge(self, shop: Shop) -> None:
        shop.configure(windows=["30d"], segments={"country": {}}, metric_segments=["country"])
        nl, de = {"segments": {"country": "NL"}}, {"segments": {"country": "DE"}}
        await shop.send(confidential("a", **nl), *[answer(f"b{n}", **de) for n in range(4)])
        gauges = ScoreGauges(shop.database, shop.counter, clock=lambda: NOON)
        await gauges.measure()
        segments = {
            sample.labels["segment"]: sample.value
            for metric in metrics.SCORE_SAMPLE.collect()
            for sample in metric.samples
            if sample.labels["store"] == shop.name
        }
        assert segments == {"all": 5, "DE": 4}


class TestUpgrade:
    async def test_finds_the_confidential_answers_that_were_counted_before(self, shop: Shop) -> None:
        sent = [confidential("a", who="asha"), confidential("b", 3, NOON + DAY, who="asha"), answer("c")]
        await shop.send(*sent)
        expected = await shop.buckets()
        await self.forget(shop)
        await shop.count_hours()
        assert (await figure(shop, NOON + DAY)).n == 3  # as the release before counts
        async with shop.database.transaction() as session:
            for statement in MIGRATION.CONFIDENTIAL:
                await session.execute(text(statement))
        assert await shop.buckets() == expected
        assert (await figure(shop, NOON + DAY)).hidden == WHY
        assert await faults(shop) == []

    async def test_leaves_the_rest_to_a_rebuild_which_verify_asks_for(self, shop: Shop) -> None:
        await shop.send(confidential("a"))
        await self.forget(shop)
        assert len(await faults(shop)) == 1
        await operations.rebuild(shop.database, shop.config, store_name=shop.name)
        assert await faults(shop) == []
        assert (await figure(shop)).hidden == WHY

    async def forget(self, shop: Shop) -> None:
        """Leave the rows as the release before writes them."""
        ours = "(SELECT id FROM scorer.series WHERE store = :store AND scale LIKE '% confidential')"
        async with shop.database.transaction() as session:
            for statement in (
                f"""UPDATE scorer.answers SET series = ARRAY(
                        SELECT id FROM unnest(series) AS id WHERE id NOT IN {ours} ORDER BY id)
                    WHERE store = :store""",
                f"DELETE FROM scorer.buckets WHERE series IN {ours}",
                "DELETE FROM scorer.series WHERE store = :store AND scale LIKE '% confidential'",
            ):
                await session.execute(text(statement), {"store": shop.name})
        shop.configure()
