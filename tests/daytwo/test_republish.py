"""`closeloop republish` on a running copy: every state is on its topic once more, under the `seq` it has."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.shop import Shop

TOPICS = {"segmenter": "loyalty.customers.v1", "scorer": "feedback.scores.v1"}
PEOPLE = 5


@pytest.fixture
def product(kept_product: Product) -> Product:
    return kept_product


async def records(product: Product, topic: str) -> Counter[tuple[bytes, int]]:
    """How often each state (key, seq) stands on the topic."""
    found: Counter[tuple[bytes, int]] = Counter()
    async with product.reader(topic) as reader:
        ends: dict[Any, int] = await reader.end_offsets(list(reader.assignment()))
        left = {place for place, end in ends.items() if end}
        while left:
            for place, some in (await reader.getmany(timeout_ms=500)).items():
                found.update((record.key, json.loads(record.value)["seq"]) for record in some)
                if some[-1].offset + 1 >= ends[place]:
                    left.discard(place)
    return found


async def test_every_state_is_told_once_more(product: Product) -> None:
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        for _ in range(PEOPLE):
            await shop.answer(9)
    await product.caught_up()
    for service, topic in TOPICS.items():
        settled = await product.command("republish", service, "--wait", "--json")
        assert settled.code == 0, settled.errors
        before = await records(product, topic)
        newest = {key: max(seq for other, seq in before if other == key) for key, _ in before}

        done = await product.command("republish", service, "--wait", "--json")

        assert done.json == {"marked": len(newest), "waiting": 0}
        more = await records(product, topic) - before
        assert more == Counter(newest.items())
    assert (await product.command("verify")).code == 0


async def test_an_unknown_store_is_refused(product: Product) -> None:
    done = await product.command("republish", "scorer", "--store", "nowhere")
    assert done.code == 1
    assert "no store 'nowhere'" in done.errors
