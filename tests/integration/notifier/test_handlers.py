"""What answers do to cases, through the handlers and a real database."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from services.notifier.settings import Alerts
from shared.db import Database
from shared.events import Received
from shared.events.responses import AboutOrder, Identity
from tests.integration.notifier.desk import Desk, received, webhook


async def close(desk: Desk, *, days_ago: float = 0) -> None:
    async with desk.database.transaction() as session:
        await session.execute(
            text("UPDATE notifier.cases SET status = 'closed', closed_at = :at WHERE store = :store"),
            {"store": desk.store, "at": desk.now - timedelta(days=days_ago)},
        )


class TestALowAnswer:
    async def test_opens_one_case_with_delivery_history_and_fact(self, desk: Desk) -> None:
        assert await desk.apply(desk.submitted(2)) == {"ok": 1}

        case = await desk.case()
        assert case["status"] == "open"
        assert (case["priority"], case["rule"], case["config_version"]) == ("normal", "default", "v1")
        assert case["first_contact_due_at"] == desk.now + timedelta(hours=24)
        assert case["resolve_due_at"] == desk.now + timedelta(hours=72)
        assert case["verified"]
        [delivery] = await desk.deliveries()
        assert (delivery["reason"], delivery["channel"], delivery["state"]) == ("opened", "alerts", "pending")
        assert delivery["next_at"] == desk.now
        assert await desk.history() == ["opened"]
        assert await desk.emitted() == ["case.opened"]

    async def test_is_low_by_its_own_metric(self, desk: Desk) -> None:
        await desk.apply(
            desk.submitted(5, response_id="a", customer="a", metric="ces", scale="1-5-effort"),
            desk.submitted(5, response_id="b", customer="b", metric="csat", scale="1-5"),
            desk.submitted(7, response_id="c", customer="c"),
        )

        assert [case["customer_ref"] for case in await desk.cases()] == ["a"]

    @pytest.mark.parametrize(
        "given",
        [
            {"test": True},
            {"historical": True},
            {"identity": Identity.ANONYMOUS},
            {"identity": Identity.CONFIDENTIAL},
            {"identity": Identity.OTHER},
            {"customer": None},
            {"answered_at": datetime.now(UTC) - timedelta(hours=24, seconds=1)},
        ],
        ids=["test", "historical", "anonymous", "confidential", "unknown identity", "nobody", "old"],
    )
    async def test_opens_none_when_it_is_not_fresh_real_and_somebodys(
        self, desk: Desk, given: dict[str, Any]
    ) -> None:
        desk.now = datetime.now(UTC)
        assert await desk.apply(desk.submitted(0, **given)) == {"skipped": 1}

        assert await desk.cases() == []
        assert await desk.rows("SELECT 1 FROM notifier.answers WHERE store = :store") == []

    async def test_of_just_under_a_day_opens_one(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, answered_at=desk.now - timedelta(hours=23, minutes=59)))

        assert len(await desk.cases()) == 1

    async def test_of_a_claimed_customer_is_marked_and_a_case_apart(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, verified=False))
        assert not (await desk.case())["verified"]

        await desk.apply(desk.submitted(3, response_id="r-2"))
        assert [case["verified"] for case in await desk.cases()] == [False, True]

    async def test_of_a_store_that_is_not_configured_is_skipped(self, desk: Desk) -> None:
        other = Desk(desk.database)
        assert await desk.apply(other.submitted(2)) == {"skipped": 1}


class TestTheAlertOfAnAnswerWhoseCommentIsToCome:
    async def test_waits_for_90_seconds(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, complete=False))

        assert (await desk.case())["status"] == "open"
        [delivery] = await desk.deliveries()
        assert delivery["next_at"] == desk.now + timedelta(seconds=90)

    @pytest.mark.parametrize("given", [{"comment": "late"}, {"complete": True}], ids=["comment", "complete"])
    async def test_is_released_by_the_comment_or_the_end(self, desk: Desk, given: dict[str, Any]) -> None:
        await desk.apply(desk.submitted(2, complete=False))
        await desk.apply(desk.amended(**given))

        [delivery] = await desk.deliveries()
        assert delivery["next_at"] <= datetime.now(UTC)

    async def test_is_not_released_by_another_score(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2, complete=False))
        await desk.apply(desk.amended(score=3))

        [delivery] = await desk.deliveries()
        assert delivery["next_at"] == desk.now + timedelta(seconds=90)

    async def test_does_not_wait_when_the_comment_overtook(self, desk: Desk) -> None:
        await desk.apply(desk.amended(comment="late"))
        await desk.apply(desk.submitted(2, complete=False))

        [delivery] = await desk.deliveries()
        assert delivery["next_at"] == desk.now


class TestASecondLowAnswer:
    async def test_joins_without_another_alert(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        await desk.apply(desk.submitted(4, response_id="r-2"))

        assert (await desk.case())["version"] == 2
        assert len(await desk.deliveries()) == 1
        assert await desk.history() == ["opened", "joined"]
        assert await desk.emitted() == ["case.opened", "case.changed"]

    async def test_joins_within_one_batch(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2), desk.submitted(4, response_id="r-2"))

        assert len(await desk.cases()) == 1
        parts = await desk.rows(
            "SELECT response_id, part FROM notifier.case_answers WHERE store = :store ORDER BY 1"
        )
        assert [row["part"] for row in parts] == ["opened", "joined"]

    async def test_alerts_once_when_it_raises_the_priority(self, desk: Desk) -> None:
        desk.alerts = Alerts.model_validate(
            {
                "channels": {"alerts": webhook()},
                "rules": [
                    {
                        "name": "furious",
                        "when": {"max_score": 1},
                        "priority": "urgent",
                        "first_contact_hours": 2,
                    }
                ],
            }
        )
        await desk.apply(desk.submitted(5))
        await desk.apply(desk.submitted(0, response_id="r-2"))
        await desk.apply(desk.submitted(0, response_id="r-3"))

        case = await desk.case()
        assert (case["priority"], case["rule"]) == ("urgent", "furious")
        assert case["first_contact_due_at"] == desk.now + timedelta(hours=2)
        assert [d["reason"] for d in await desk.deliveries()] == ["opened", "raised:urgent"]

    async def test_after_closing_opens_the_same_case_again(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        await close(desk)
        await desk.apply(desk.submitted(4, response_id="r-2"))
        await desk.apply(desk.submitted(4, response_id="r-3"))

        case = await desk.case()
        assert (case["status"], case["reopened"], case["closed_at"]) == ("reopened", 1, None)
        assert [d["reason"] for d in await desk.deliveries()] == ["opened", "reopened:r-2"]
        assert await desk.emitted() == ["case.opened", "case.opened", "case.changed"]

    async def test_long_after_closing_opens_a_new_case(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        await close(desk, days_ago=31)
        await desk.apply(desk.submitted(4, response_id="r-2"))

        assert [case["status"] for case in await desk.cases()] == ["closed", "open"]

    async def test_after_a_retraction_opens_a_new_case(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(2), desk.retracted(), desk.submitted(2, response_id="r-2")])

        assert [case["status"] for case in await desk.cases()] == ["dismissed", "open"]


class TestAnAmendment:
    async def test_that_is_low_opens_a_case(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(9), desk.amended(score=3)])

        assert len(await desk.live()) == 1

    async def test_that_is_better_is_noted_and_closes_nothing(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(2), desk.amended(score=9)])

        assert (await desk.case())["status"] == "open"
        assert await desk.history() == ["opened", "answer_amended", "score_changed"]

    async def test_of_an_unknown_answer_waits_for_its_original(self, desk: Desk) -> None:
        await desk.apply(desk.amended(score=3))
        assert await desk.cases() == []

        await desk.apply(desk.submitted(9))
        assert len(await desk.live()) == 1

    async def test_of_an_anonymous_answer_opens_nothing(self, desk: Desk) -> None:
        await desk.one_by_one([desk.amended(score=0), desk.submitted(9, identity=Identity.ANONYMOUS)])

        assert await desk.cases() == []

    async def test_with_a_score_off_the_scale_is_no_score(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(9), desk.amended(score=-3)])

        assert await desk.cases() == []


class TestARetraction:
    async def test_of_an_untouched_case_dismisses_it_and_cancels_its_alert(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(2), desk.retracted()])

        case = await desk.case()
        assert (case["status"], case["dismissed_because"]) == ("dismissed", "retracted")
        assert [d["state"] for d in await desk.deliveries()] == ["cancelled"]
        assert await desk.emitted() == ["case.opened", "case.closed"]

    async def test_of_a_touched_case_is_noted(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        async with desk.database.transaction() as session:
            await session.execute(
                text("UPDATE notifier.cases SET status = 'assigned', owner = 'kim' WHERE store = :s"),
                {"s": desk.store},
            )
        await desk.apply(desk.retracted())

        assert (await desk.case())["status"] == "assigned"
        assert await desk.history() == ["opened", "answer_retracted"]

    async def test_of_one_of_two_answers_keeps_the_case(self, desk: Desk) -> None:
        await desk.one_by_one([desk.submitted(2), desk.submitted(3, response_id="r-2"), desk.retracted()])
        assert (await desk.case())["status"] == "open"

        await desk.apply(desk.retracted("r-2"))
        assert (await desk.case())["status"] == "dismissed"

    async def test_that_comes_first_means_no_case(self, desk: Desk) -> None:
        await desk.one_by_one([desk.retracted(), desk.submitted(2)])

        assert await desk.cases() == []


class TestOrderAndRepeats:
    @pytest.mark.parametrize("batched", [False, True], ids=["one by one", "in batches"])
    async def test_every_order_of_the_revisions_ends_in_the_same_case(
        self, database: Database, batched: bool
    ) -> None:
        seen = set()
        for order in permutations(range(4)):
            desk = Desk(database)
            events = [
                desk.submitted(2, complete=False),
                desk.amended(revision=1, score=9),
                desk.amended(revision=2, comment="late"),
                desk.amended(revision=3, score=5),
            ]
            await _play(desk, [events[i] for i in order], batched=batched)
            case, [delivery] = await desk.case(), await desk.deliveries()
            seen.add(
                (
                    case["status"],
                    case["priority"],
                    case["rule"],
                    case["first_contact_due_at"] - desk.now,
                    delivery["reason"],
                    delivery["state"],
                    delivery["next_at"] < desk.now + timedelta(seconds=80),
                )
            )
        assert seen == {("open", "normal", "default", timedelta(hours=24), "opened", "pending", True)}

    @pytest.mark.parametrize("batched", [False, True], ids=["one by one", "in batches"])
    async def test_every_order_with_a_retraction_ends_without_a_case_in_work_and_without_an_alert(
        self, database: Database, batched: bool
    ) -> None:
        for order in permutations(range(4)):
            desk = Desk(database)
            events = [
                desk.submitted(2),
                desk.amended(revision=1, score=9),
                desk.amended(revision=2, comment="late"),
                desk.retracted(),
            ]
            await _play(desk, [events[i] for i in order], batched=batched)
            assert await desk.live() == []
            assert {d["state"] for d in await desk.deliveries()} <= {"cancelled"}

    async def test_two_originals_in_both_orders(self, database: Database) -> None:
        for order in permutations(range(2)):
            desk = Desk(database)
            events = [received(desk.submitted(9).event, "a"), received(desk.submitted(2).event, "b")]
            await desk.one_by_one([events[i] for i in order])
            assert await desk.live() == []

    @pytest.mark.parametrize("customers", [("c-1", "c-1", "c-1"), ("c-1", "c-2", "c-3")])
    async def test_three_originals_in_every_order(self, database: Database, customers: list[str]) -> None:
        for order in permutations(range(3)):
            desk = Desk(database)
            scores = (2, 9, 0)
            events = [
                received(desk.submitted(score, customer=customer).event, event_id)
                for score, customer, event_id in zip(scores, customers, "abc", strict=True)
            ]
            await desk.one_by_one([events[i] for i in order])
            [case] = await desk.live()
            assert (case["response_id"], case["customer_ref"], case["score"]) == ("r-1", "c-1", 2)

    async def test_a_good_original_that_lost_its_case_opens_one_when_it_turns_bad(self, desk: Desk) -> None:
        await desk.apply(received(desk.submitted(2, customer="c-2").event, "b"))
        await desk.apply(received(desk.submitted(9, customer="c-1").event, "a"))
        assert await desk.live() == []
        await desk.apply(desk.amended(score=1))
        [case] = await desk.live()
        assert case["customer_ref"] == "c-1"

    async def test_an_answer_that_is_amended_for_hours_keeps_a_short_row(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(9))
        for number in range(1, 120):
            score = 3 if number == 20 else 8 + number % 3
            await desk.apply(desk.amended(revision=number, score=score, comment=f"comment {number}"))
        [row] = await desk.rows(
            """SELECT score, (SELECT count(*) FROM jsonb_object_keys(revisions)) AS kept
               FROM notifier.answers WHERE store = :store"""
        )
        assert row["score"] == 10
        assert row["kept"] < 20
        [case] = await desk.live()
        assert case["response_id"] == "r-1"
        await desk.apply(desk.amended(revision=200, comment="the last word"))
        assert len(await desk.live()) == 1

    async def test_rules_and_channels_do_not_depend_on_the_order(self, database: Database) -> None:
        seen = set()
        for order in permutations(range(3)):
            desk = Desk(
                database,
                Alerts.model_validate(
                    {
                        "channels": {"chat": webhook(), "phone": webhook(), "all": webhook()},
                        "rules": [
                            {
                                "name": "bad",
                                "when": {"max_score": 2},
                                "priority": "urgent",
                                "channels": ["phone"],
                            },
                            {"name": "meh", "when": {"max_score": 6}, "channels": ["chat"]},
                        ],
                    }
                ),
            )
            events = [desk.submitted(5), desk.amended(revision=1, score=1), desk.amended(revision=2, score=8)]
            await desk.one_by_one([events[i] for i in order])
            case = await desk.case()
            told = tuple((d["reason"], d["channel"]) for d in await desk.deliveries())
            seen.add((case["priority"], case["rule"], told))
        assert seen == {("urgent", "bad", (("opened", "chat"), ("opened", "phone")))}

    async def test_every_handler_twice_leaves_the_same_rows(self, desk: Desk) -> None:
        batch = [
            desk.standing(),
            desk.submitted(2),
            desk.submitted(9, response_id="r-2", customer="c-2"),
            desk.amended(score=3),
            desk.submitted(3, response_id="r-3"),
            desk.retracted("r-3"),
            desk.retracted("r-2"),
        ]
        await desk.apply(*batch)
        once = await desk.everything()

        assert await desk.apply(*batch) == {"duplicate": 7}
        await desk.one_by_one(batch)
        assert await desk.everything() == once


async def _play(desk: Desk, events: list[Received], *, batched: bool) -> None:
    """The events in this order, some of them again; then all of them again."""
    repeated = events[:2] + events
    if batched:
        await desk.apply(*repeated[:3])
        await desk.apply(*repeated[3:])
    else:
        await desk.one_by_one(repeated)
    await desk.apply(*random.sample(events, len(events)))


class TestWhatIsKnownOfTheCustomer:
    async def test_the_tier_at_opening_is_kept_and_rules_use_it(self, desk: Desk) -> None:
        desk.alerts = Alerts.model_validate(
            {"rules": [{"name": "gold", "when": {"tiers": ["Gold"]}, "priority": "high"}]}
        )
        await desk.apply(desk.standing(tier="Gold"))
        await desk.apply(desk.submitted(6))
        await desk.apply(desk.standing(seq=2, tier="Silver"))

        case = await desk.case()
        assert (case["tier"], case["priority"], case["rule"]) == ("Gold", "high", "gold")

    async def test_old_news_is_ignored(self, desk: Desk) -> None:
        await desk.apply(desk.standing(seq=5, tier="Gold"), desk.standing(seq=4, tier="Silver"))
        await desk.apply(desk.standing(seq=3, tier="Bronze"))

        [row] = await desk.rows("SELECT seq, tier, tags FROM notifier.customers WHERE store = :store")
        assert row == {"seq": 5, "tier": "Gold", "tags": ["vip"]}

    async def test_an_order_of_value_is_a_condition(self, desk: Desk) -> None:
        desk.alerts = Alerts.model_validate(
            {"rules": [{"name": "large", "when": {"order_value_at_least": 100}, "priority": "high"}]}
        )
        await desk.apply(
            desk.submitted(6, order=AboutOrder(id="o", value=Decimal("100.00"), currency="EUR")),
            desk.submitted(6, response_id="r-2", customer="c-2"),
        )

        assert {c["customer_ref"]: c["rule"] for c in await desk.cases()} == {
            "c-1": "large",
            "c-2": "default",
        }


class TestSeveralReplicas:
    async def test_many_answers_of_one_customer_at_once_make_one_case(self, desk: Desk) -> None:
        answers = [desk.submitted(n % 7, response_id=f"r-{n}") for n in range(24)]
        await asyncio.gather(*(desk.apply(answer) for answer in answers))

        assert len(await desk.cases()) == 1
        parts = await desk.rows(
            "SELECT part, count(*) AS n FROM notifier.case_answers WHERE store = :store GROUP BY 1 ORDER BY 1"
        )
        assert parts == [{"part": "joined", "n": 23}, {"part": "opened", "n": 1}]
        assert len(await desk.deliveries()) == 1

    async def test_batches_that_cross_do_not_deadlock(self, desk: Desk) -> None:
        def batch(n: int) -> list[Received]:
            customers = [f"c-{i}" for i in range(20)]
            random.shuffle(customers)
            answers = [desk.submitted(1, response_id=f"{n}-{c}", customer=c) for c in customers]
            return [*answers, *(desk.standing(customer=c, seq=n) for c in reversed(customers))]

        await asyncio.gather(*(desk.apply(*batch(n)) for n in range(6)))

        assert len(await desk.cases()) == 20
        assert len(await desk.rows("SELECT 1 FROM notifier.case_answers WHERE store = :store")) == 120

    async def test_answers_after_closing_at_once_open_the_case_again_once(self, desk: Desk) -> None:
        await desk.apply(desk.submitted(2))
        await close(desk)
        later = [desk.submitted(1, response_id=f"x-{n}") for n in range(8)]
        await asyncio.gather(*(desk.apply(answer) for answer in later))

        case = await desk.case()
        assert (case["status"], case["reopened"]) == ("reopened", 1)
        assert len(await desk.deliveries()) == 2
