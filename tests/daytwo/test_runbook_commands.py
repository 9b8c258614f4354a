"""Each command of docs/runbook.md is run on a running copy; those of other tools are at least real ones."""

import re
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.daytwo.copies import run, tool
from tests.e2e.conftest import CONFIG
from tests.e2e.eventually import eventually
from tests.e2e.product import ROOT, Product
from tests.e2e.shop import Shop

TEXT = (ROOT / "docs" / "runbook.md").read_text()
EMAIL = "nora@shop.example"
POISON = 8
"""As many dead letters as the page has commands about single ones, and more; few enough to stop nobody."""


def lines() -> list[str]:
    """Every line of the page's `sh` blocks, once, in the order of the page."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


OURS = [line for line in lines() if line.startswith("closeloop ")]
OTHERS = [line for line in lines() if not line.startswith("closeloop ")]


class Operator:
    """Knows what to write for the words in capitals."""

    def __init__(self, product: Product) -> None:
        self.product = product

    async def filled(self, line: str) -> list[str]:
        known = {
            "FILE": str(CONFIG),
            "STORE": "demo",
            "SERVICE": "scorer",
            "EMAIL": EMAIL,
            "MOMENT": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
        }
        words = []
        for word in shlex.split(line)[1:]:
            if word == "ID":
                words.append(await self.a_dead_letter())
            elif word == "KEY_ID":
                words.append(await self.a_key())
            else:
                words.append(known.get(word, word))
        return words

    async def a_dead_letter(self) -> str:
        rows = await self.product.sql("SELECT id FROM scorer.dead_letters WHERE state = 'dead' LIMIT 1")
        return str(rows[0][0])

    async def a_key(self) -> str:
        """A new one, so that the shop of the test keeps its own."""
        made = await self.product.command("keys", "create", "--store", "demo", "--scope", "admin", "--json")
        return str(made.json["key_id"])


@pytest.fixture
def product(kept_product: Product) -> Product:
    return kept_product


@pytest.fixture
async def operator(product: Product) -> AsyncIterator[Operator]:
    """With answers, a person, and dead letters of which nobody can replay any."""
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        for score in (10, 8, 1):
            await shop.answer(score)
    producer = AIOKafkaProducer(bootstrap_servers=product.demo["kafka_bootstrap"])
    await producer.start()
    try:
        for number in range(POISON):
            await producer.send_and_wait("feedback.responses.v1", b"poison", key=b"%d" % number)
    finally:
        await producer.stop()

    async def buried() -> bool:
        rows = await product.sql("SELECT count(*) FROM scorer.dead_letters")
        return bool(rows[0][0] == POISON)

    await eventually(buried)
    await product.caught_up()
    yield Operator(product)


async def test_every_command_of_the_page_works(operator: Operator) -> None:
    """In the order of the page: what one makes, a later one may need."""
    failed = []
    for line in OURS:
        done = await operator.product.command(*await operator.filled(line))
        # What cannot be read cannot be replayed: the command says so, by its exit code too.
        expected = 1 if "replay" in line else 0
        if done.code != expected:
            failed.append(f"{line}: {done.code} {done.output[-400:]} {done.errors[-400:]}")
    assert not failed, "\n".join(failed)


def test_the_page_has_commands_for_everything_it_is_about() -> None:
    verbs = {line.split()[1] for line in OURS}
    assert verbs >= {
        "alerts", "config", "dead", "deliveries", "doctor", "keys", "migrate",
        "rebuild", "republish", "status", "topics", "users", "verify",
    }  # fmt: skip


def test_what_is_not_run_here_is_said_to_be() -> None:
    told = TEXT.rpartition("## What is not run here")[2]
    for line in OTHERS:
        assert f"`{line.split()[0]}`" in told, line


@pytest.mark.parametrize("line", OTHERS)
async def test_a_command_of_postgresql_has_these_options(line: str) -> None:
    name, *words = shlex.split(line)
    known = await run(tool(name), "--help")
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", known), f"{name} has no {option}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / "docs" / Path(target)).exists(), target
