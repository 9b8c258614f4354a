"""The drill of the runbook's section about a log that is another one: topics wiped, Kafka's folder gone."""

import re
import shlex
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.e2e.eventually import eventually
from tests.e2e.product import CONSUMERS, ROOT, SERVICES, Ended, Product
from tests.e2e.shop import Shop

RESPONSES = "feedback.responses.v1"
SECTION = (ROOT / "docs" / "runbook.md").read_text().partition("## The log and the database disagree")[2]
DECIDE = "closeloop topics adopt"


def told_commands() -> list[list[str]]:
    """The commands of the section, in its order, without the name of the program."""
    text = SECTION.partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def product(kept_product: Product) -> Product:
    return kept_product


@pytest.fixture
async def shop(product: Product) -> AsyncIterator[Shop]:
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        yield shop


async def why_not_ready(product: Product, service: str) -> str:
    return str((await product.get(service, "/readyz")).json()["parts"])


async def verified(product: Product) -> tuple[Ended, dict[str, Any]]:
    done = await product.command("verify", "--json")
    return done, done.json["scorer"]


async def all_ready(product: Product) -> bool:
    return all([await product.is_ready(service) for service in SERVICES])


async def adopt_as_the_runbook_says(product: Product) -> dict[str, Any]:
    """Run the section's commands, the last ones when the services have gone on and caught up.

    Returns what `closeloop verify`, the last of them, says of the scorer.
    """
    done = None
    for words in told_commands():
        if words[0] in ("status", "verify"):
            await eventually(lambda: all_ready(product), within_seconds=30)
            await product.caught_up()
        done = await product.command(*words, *(["--json"] if words[0] == "verify" else []))
        assert done.code == 0, (words, done.output, done.errors)
    assert done is not None
    report: dict[str, Any] = done.json["scorer"]
    return report


def test_the_section_leads_from_what_is_there_to_what_was_checked() -> None:
    told = [" ".join(words) for words in told_commands()]
    assert told == ["topics --create", "topics adopt --dry-run", "topics adopt --yes", "status", "verify"]


async def test_a_topic_that_was_made_anew_under_stopped_consumers_is_read_whole_after_the_adoption(
    product: Product, shop: Shop
) -> None:
    for _ in range(20):
        await shop.answer(9)
    await product.caught_up()
    # As if one answer of each partition had died: these places are needed again in the new log.
    await product.sql(
        """INSERT INTO scorer.dead_letters
               (consumer, topic, partition, "offset", reason, detail, headers, correlation_id, topic_id)
           SELECT consumer, topic, partition, 0, 'handler_failed', 'drill', '[]', '', topic_id
           FROM scorer.progress WHERE topic = $1 AND next_offset > 0 ON CONFLICT DO NOTHING""",
        RESPONSES,
    )
    done, before = await verified(product)
    assert (done.code, before["log_faults"], before["adoptions"]) == (0, [], [])
    assert before["fates"]["dead"] > 0

    # Stopped, while the topic goes and comes back, and intake goes on until the new log is the longer one.
    stopped = [product.process(service) for service in CONSUMERS]
    for process in stopped:
        process.suspend()
    admin = AIOKafkaAdminClient(bootstrap_servers=product.demo["kafka_bootstrap"])
    await admin.start()
    try:
        await admin.delete_topics([RESPONSES])
    finally:
        await admin.close()

    async def made_anew() -> bool:
        await product.command("topics", "--create")  # while Kafka still deletes there is nothing to create
        return await collector_says(product, "was made anew")

    await eventually(made_anew, within_seconds=30)
    accepted = 150
    for _ in range(accepted):
        await shop.answer(9)
    assert await is_longer_than_what_was_read(product)
    for process in stopped:
        process.kill()  # the supervisor starts them again

    # Nobody applies a record of the new log, everybody says why, and nobody is restarted for it.
    for service in CONSUMERS:
        await eventually(lambda of=service: halted(product, of), within_seconds=30)
        assert (await product.get(service, "/livez")).status_code == 200
    for service in SERVICES:
        assert await product.metric(service, "closeloop_log_fault", topic=RESPONSES) == 1
    done, during = await verified(product)
    assert done.code == 1
    assert (during["accepted"], during["answers"]) == (0, before["answers"])
    assert DECIDE in done.errors
    assert RESPONSES in during["log_faults"][0]

    pids = product.demo["pids"]
    after = await adopt_as_the_runbook_says(product)

    assert product.demo["pids"] == pids
    assert after["fates"] == {"counted": accepted}
    assert (after["accepted"], after["answers"]) == (accepted, before["answers"] + accepted)
    assert len(after["adoptions"]) == 1
    for service in SERVICES:
        assert await product.metric(service, "closeloop_log_fault") == 0
    letters = await product.command("dead", "list", "--service", "scorer", "--json")
    former = [letter for letter in letters.json if letter["detail"] == "drill"]
    assert former
    assert all(letter["of_former_log"] for letter in former)
    await product.sql("DELETE FROM scorer.dead_letters WHERE detail = 'drill'")


async def test_a_copy_whose_kafka_folder_is_gone_comes_up_says_so_and_goes_on(product: Product) -> None:
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        for _ in range(5):
            await shop.answer(9)
    await product.caught_up()
    [[answers]] = await product.sql("SELECT count(*) FROM scorer.answers")
    assert await product.stop() == 0
    shutil.rmtree(product.home / "kafka")
    shown_before = len(product.output.read_text())

    await product.start()
    await eventually(lambda: "The log and the database disagree" in product.output.read_text()[shown_before:])

    shown = product.output.read_text()[shown_before:]
    assert f"the topic {RESPONSES} was made anew" in shown
    assert DECIDE in shown
    doctor = await product.command("doctor", "--json")
    remedies = {found["check"]: found["remedy"] for found in doctor.json if not found["ok"]}
    assert remedies.keys() == set(SERVICES)
    assert all(DECIDE in remedy for remedy in remedies.values())
    async with Shop(product.urls, product.demo["secret_key"]) as shop:
        for _ in range(5):
            await shop.answer(9)

    assert (await product.command("topics", "adopt", "--yes")).code == 0

    await eventually(lambda: all_ready(product), within_seconds=30)
    await product.caught_up()
    done, after = await verified(product)
    assert (done.code, after["fates"], after["answers"]) == (0, {"counted": 5}, answers + 5)
    # Scores and customers are on their topics again.
    states = await product.sql("SELECT count(*) FROM segmenter.customers WHERE published_seq > 0")
    async with product.reader("loyalty.customers.v1") as reader:
        ends = await reader.end_offsets(list(reader.assignment()))
    assert sum(ends.values()) >= states[0][0] > 0


async def collector_says(product: Product, text: str) -> bool:
    said = await why_not_ready(product, "collector")
    return text in said and DECIDE in said


async def halted(product: Product, service: str) -> bool:
    try:
        answer = await product.get(service, "/readyz")
    except httpx.TransportError:  # it starts
        return False
    said = str(answer.json()["parts"].get("consumer"))
    return answer.status_code == 503 and RESPONSES in said and DECIDE in said


async def is_longer_than_what_was_read(product: Product) -> bool:
    """Whether every stored offset lies inside of the new log, so that offsets alone would show nothing."""
    shown = await product.command("topics", "adopt", "--dry-run", "--json")
    assert shown.code == 0, shown.errors
    places = [found for found in shown.json["differences"] if found["partition"] is not None]
    assert {found["service"] for found in places} == set(CONSUMERS)
    return all(found["stored_offset"] < found["end_offset"] for found in places)
