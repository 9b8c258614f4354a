"""The scorer, the segmenter and the notifier tell the same score of an answer, whatever happens to it.

Answers with rivals, amendments and retractions reach each service in an order and in batches of its own. What
each of them stores is compared with a reading of the rule that is written here once more.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.scorer.counting.store.answers import read_answers
from services.segmenter.facts import store as facts
from services.segmenter.facts.domain.records import AnswerRecord, Kind
from services.segmenter.facts.store import FactKey
from shared.db import Database, asyncpg_connection
from shared.events.responses import Customer, Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.feedback import low
from tests.integration.notifier.desk import Desk, received
from tests.integration.scorer.builders import Sent
from tests.integration.scorer.builders import Shop as Scorer
from tests.integration.segmenter.builders import Sent as SegmentersSent
from tests.integration.segmenter.builders import Shop as Segmenter

SCALES = {"nps": ("0-10", range(11)), "csat": ("1-5", range(1, 6)), "ces": ("1-7", range(1, 8))}
NOW = datetime.now(UTC)


def is_low(body: ResponseSubmitted, score: int | None) -> bool:
    return score is not None and low(body.metric, body.scale, score)


class Told(NamedTuple):
    """What a service knows of an answer."""

    score: int | None
    respondent: str | None
    retracted: bool


def life(dice: random.Random, name: str) -> list[Sent]:
    """All that happens to one answer: up to three bodies, changes meant for one of them or for any."""
    events: list[Sent] = []
    for number in range(dice.choice([1, 1, 2, 3])):
        metric = dice.choice(list(SCALES))
        scale, scores = SCALES[metric]
        customer = Customer(ref=f"{dice.choice(['ann', 'bob'])} of {name}", id=f"{number}")
        body = ResponseSubmitted(
            store="shop",
            response_id=name,
            received_at=NOW,
            answered_at=NOW,
            fingerprint=f"f-{number}",
            metric=metric,
            scale=scale,
            score=dice.choice(list(scores)),
            identity=Identity.IDENTIFIED,
            customer=customer,
            verified=dice.random() < 0.7,
        )
        events.append(Sent(body, f"{dice.randint(0, 9)}-{name}-{number}"))
    for number in range(dice.randint(0, 5)):
        change = ResponseAmended(
            store="shop",
            response_id=name,
            received_at=NOW,
            revision=dice.randint(1, 3),
            score=dice.choice([*range(11), None]),
            comment=dice.choice([None, f"comment {number}"]),
            fingerprint=dice.choice([None, "f-0", "f-1"]),
            metric=dice.choice([None, None, *SCALES]),
        )
        events.append(Sent(change, f"{dice.randint(0, 9)}-{name}-change-{number}"))
    if dice.random() < 0.2:
        gone = ResponseRetracted(store="shop", response_id=name, received_at=NOW)
        events.append(Sent(gone, f"5-{name}-gone"))
    return events


def truth(events: Sequence[Sent]) -> tuple[Told, bool]:
    """The rule, read from the contract: the oldest body, and its highest possible change; and whether it
    needs somebody in charge: it was low at some time, and was not taken back."""
    body, _ = min(
        ((s.event, s.ce_id) for s in events if isinstance(s.event, ResponseSubmitted)), key=lambda b: b[1]
    )
    scores = [
        (change.revision, s.ce_id, change.score)
        for s in events
        if isinstance(change := s.event, ResponseAmended)
        and change.score in SCALES[body.metric][1]
        and change.fingerprint in (None, body.fingerprint)
        and change.metric in (None, body.metric)
    ]
    assert body.customer is not None
    told = Told(
        max(scores)[2] if scores else body.score,
        body.customer.ref if body.verified else f"claimed:{body.customer.ref}",
        any(isinstance(s.event, ResponseRetracted) for s in events),
    )
    was_low = any(is_low(body, score) for score in (body.score, *(score for _, _, score in scores)))
    return told, was_low and not told.retracted


def batches(dice: random.Random, events: Sequence[Sent]) -> list[list[Sent]]:
    """The events in any order, some of them twice, cut anywhere."""
    arriving = [*events, *dice.choices(events, k=len(events) // 4)]
    dice.shuffle(arriving)
    cuts = sorted(dice.sample(range(1, len(arriving)), k=min(len(arriving) - 1, dice.randint(0, 30))))
    return [
        arriving[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True)
        if end > start
    ]


async def in_the_scorer(shop: Scorer, names: Sequence[str]) -> dict[str, Told]:
    async with shop.database.snapshot() as session:
        answers = await read_answers(await asyncpg_connection(session), [(shop.name, n) for n in names])
    return {
        name: Told(answer.score, answer.body and answer.body.respondent, answer.retracted)
        for (_, name), answer in answers.items()
    }


async def in_the_segmenter(shop: Segmenter, names: Sequence[str]) -> dict[str, Told]:
    async with shop.database.transaction() as session:
        keys = [FactKey(shop.store, Kind.ANSWER, name) for name in names]
        records: Mapping[FactKey, Any] = await facts.lock_facts(session, keys)
    assert all(isinstance(record, AnswerRecord) for record in records.values())
    return {key.id: Told(r.score, r.ref, r.retracted) for key, r in records.items()}


async def in_the_notifier(desk: Desk) -> dict[str, Told]:
    rows = await desk.rows(
        "SELECT response_id, score, customer_ref, retracted FROM notifier.answers WHERE store = :store"
    )
    return {row["response_id"]: Told(row["score"], row["customer_ref"], row["retracted"]) for row in rows}


@pytest.mark.parametrize("seed", range(8))
async def test_all_three_tell_the_same_score(database: Database, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    lives = {f"r-{number}": life(dice, f"r-{number}") for number in range(40)}
    events = [event for of_answer in lives.values() for event in of_answer]
    names = list(lives)
    expected = {name: truth(of_answer)[0] for name, of_answer in lives.items()}
    in_charge = {name for name, of_answer in lives.items() if truth(of_answer)[1]}

    scorer, desk = Scorer(database, tmp_path), Desk(database)
    segmenter = Segmenter(database, f"segmenter-{desk.store}")
    for batch in batches(dice, events):
        await scorer.send(*batch)
    for batch in batches(dice, events):
        await segmenter.send(*(SegmentersSent(sent.event, sent.ce_id) for sent in batch))
    for batch in batches(dice, events):
        await desk.apply(
            *(received(sent.event.model_copy(update={"store": desk.store}), sent.ce_id) for sent in batch)
        )

    assert await in_the_scorer(scorer, names) == expected
    assert await in_the_segmenter(segmenter, names) == expected
    assert await in_the_notifier(desk) == expected
    members = await segmenter.query("SELECT ref FROM segmenter.customers WHERE store = :store AND known")
    named = {told.respondent for told in expected.values() if not str(told.respondent).startswith("claimed:")}
    assert {row["ref"] for row in members} == named
    live = await desk.live()
    assert {case["response_id"] for case in live} == in_charge
    assert all(expected[case["response_id"]].respondent == case["customer_ref"] for case in live)
