"""What nobody can apply is put aside with its reason, stops nobody, and is settled by an operator."""

import json
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.shop import Shop

RESPONSES, ORDERS = "feedback.responses.v1", "commerce.orders.v1"
CUSTOMERS, CASES = "loyalty.customers.v1", "feedback.cases.v1"

READERS = {
    RESPONSES: {"scorer", "segmenter", "notifier"},
    ORDERS: {"segmenter"},
    CUSTOMERS: {"scorer", "notifier"},
    CASES: {"segmenter"},
}
SUBMITTED = {"ce_id": b"7", "ce_type": b"response.submitted.v1"}
GARBAGE: dict[str, tuple[dict[str, bytes], bytes | None]] = {
    "no_envelope": ({}, b"\x00\xff not even text"),
    "headers_not_utf8": ({"ce_id": b"\xff", "ce_type": b"\xfe"}, b"{}"),
    "invalid_body": (SUBMITTED, b'{"store": "demo", "score": "nine"'),
    "no_value": (SUBMITTED, None),
}

Place = tuple[str, int, int]


Garbage = dict[str, tuple[Place, str]]
Letter = dict[str, Any]


@pytest.fixture(scope="module")
async def garbage(product: Product) -> Garbage:
    """One piece of each kind on the responses, one on each other topic; the place and the reason of each."""
    producer = AIOKafkaProducer(bootstrap_servers=product.demo["kafka_bootstrap"])
    await producer.start()
    try:
        sent: Garbage = {}

        async def send(
            name: str, topic: str, reason: str, headers: dict[str, bytes], value: bytes | None
        ) -> None:
            done = await producer.send_and_wait(topic, value, key=b"k", headers=list(headers.items()))
            sent[name] = ((topic, done.partition, done.offset), reason)

        for reason, (headers, value) in GARBAGE.items():
            await send(reason, RESPONSES, reason, headers, value)
        for topic in (ORDERS, CUSTOMERS, CASES):
            await send(topic, topic, "wrong_topic", SUBMITTED, b"{}")
    finally:
        await producer.stop()
    await product.caught_up()
    return sent


@pytest.fixture(scope="module")
async def letters(product: Product, garbage: object) -> dict[tuple[str, Place], Letter]:
    """What `closeloop dead list` shows, by service and place."""
    shown: list[Letter] = (await product.command("dead", "list", "--json")).json
    return {(letter["service"], place_of(letter)): letter for letter in shown}


def place_of(letter: Letter) -> Place:
    return (letter["topic"], letter["partition"], letter["offset"])


class TestGarbageOnATopic:
    def test_is_put_aside_by_each_of_its_readers_with_the_reason(
        self, garbage: Garbage, letters: dict[tuple[str, Place], Letter]
    ) -> None:
        expected = {
            (service, place): reason for place, reason in garbage.values() for service in READERS[place[0]]
        }
        assert {key: letters[key]["reason"] for key in expected if key in letters} == expected

    async def test_stops_nobody(self, product: Product, garbage: object, shop: Shop) -> None:
        customer = shop.somebody()
        await shop.answer(0, customer=customer)
        await eventually(lambda: shop.case_of(customer))
        await product.caught_up()
        assert await shop.counts() == (0, 0, 1)
        for service in ("scorer", "segmenter", "notifier"):
            assert await product.is_ready(service)
        assert await product.metric("scorer", "closeloop_dead_letter_records_total", topic=RESPONSES) >= 4

    async def test_stays_dead_when_it_is_replayed_and_is_given_up(
        self, product: Product, garbage: Garbage, letters: dict[tuple[str, Place], Letter]
    ) -> None:
        place, _ = garbage[ORDERS]
        letter = str(letters["segmenter", place]["id"])
        replayed = await product.command("dead", "replay", "segmenter", letter, "--json")
        assert (replayed.code, replayed.json[0]["outcome"]) == (1, "failed")
        assert (await product.command("dead", "discard", "segmenter", letter)).code == 0
        shown = await product.command("dead", "show", "segmenter", letter, "--json")
        assert (shown.json["state"], shown.json["reason"]) == ("discarded", "wrong_topic")


class TestAnAnswerThatABadReleaseBuried:
    @pytest.fixture
    async def buried(self, product: Product, shop: Shop) -> tuple[int, str]:
        """As if it had been: a good record, in the table instead of the scores. Its letter and its id."""
        said = await shop.answer(10)
        await product.caught_up("scorer")
        record = await product.record(RESPONSES, said["response_id"])
        response_id = str(uuid4())
        value = record.value.replace(said["response_id"].encode(), response_id.encode())
        headers = [[name, content.hex()] for name, content in record.headers]
        [row] = await product.sql(
            """INSERT INTO scorer.dead_letters
                   (consumer, topic, partition, "offset", reason, detail, key, value, headers, correlation_id)
               VALUES ('closeloop-scorer', $1, 0, 1000000000, 'handler_failed', 'KeyError', $2, $3, $4, '')
               RETURNING id""",
            RESPONSES,
            record.key,
            value,
            json.dumps(headers),
        )
        return row[0], response_id

    async def test_counts_when_it_is_replayed_and_only_once(
        self, product: Product, shop: Shop, buried: tuple[int, str]
    ) -> None:
        letter, response_id = str(buried[0]), buried[1]
        assert await shop.counts() == (1, 0, 0)
        for outcome in ("ok", "settled before"):
            replayed = await product.command("dead", "replay", "scorer", letter, "--json")
            assert (replayed.code, replayed.json[0]["outcome"]) == (0, outcome)
        assert await shop.counts() == (2, 0, 0)
        assert (await shop.record(response_id))["status"] == "counted"
