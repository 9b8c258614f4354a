"""`closeloop dead`: what could not be applied is shown without its content, replayed once, or given up."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from shared.db import Database, DeadLetter, Inbox
from shared.events import Event, encode
from shared.events.responses import Customer, Identity, ResponseSubmitted

SECRET = "0123456789abcdef0123456789abcdef"
NOW = datetime.now(UTC)
COMMENT = "My parcel is in the same depot for six days"
COUNTS = {
    "scorer": "SELECT count(*) FROM scorer.answers WHERE response_id = $1",
    "segmenter": "SELECT count(*) FROM segmenter.facts WHERE id = $1",
    "notifier": "SELECT count(*) FROM notifier.case_answers WHERE response_id = $1",
}
Run = Callable[..., Any]
_offsets = itertools.count(9_000_000)


@pytest.fixture
def dead(closeloop: Run, database_url: str) -> Run:
    def run(*arguments: str) -> Any:
        return closeloop("dead", *arguments, DATABASE_URL=database_url, CLOSELOOP_SECRET=SECRET)

    return run


def answer(response_id: str) -> ResponseSubmitted:
    return ResponseSubmitted(
        store="demo",
        response_id=response_id,
        received_at=NOW,
        fingerprint="f" * 64,
        metric="nps",
        scale="0-10",
        score=2,
        answered_at=NOW,
        comment=COMMENT,
        identity=Identity.IDENTIFIED,
        customer=Customer(ref=response_id.ljust(32, "0")[:32], id=response_id),
    )


def bury(
    database_url: str, service: str, event: Event, *, value: bytes | None = None, reason: str = "x"
) -> int:
    """A letter of that service; its id."""
    key, body, headers = encode(event, source="test", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    offset = next(_offsets)
    letter = DeadLetter(
        topic=event.topic.name,
        partition=0,
        offset=offset,
        reason=reason,
        detail="KeyError",
        key=key,
        value=body if value is None else value,
        headers=headers,
        correlation_id="a" * 32,
    )

    async def put() -> int:
        database = Database(database_url, pool_size=1)
        try:
            async with database.transaction() as session:
                await Inbox(service, f"closeloop-{service}").bury(session, [letter])
        finally:
            await database.close()
        found = f'SELECT id FROM {service}.dead_letters WHERE "offset" = $1'
        return int((await query(database_url, found, offset))[0]["id"])

    return asyncio.run(put())


async def query(database_url: str, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(statement, *arguments))
    finally:
        await connection.close()


def count(database_url: str, service: str, response_id: str) -> int:
    return int(asyncio.run(query(database_url, COUNTS[service], response_id))[0][0])


@pytest.mark.parametrize("service", ["scorer", "segmenter", "notifier"])
def test_a_replay_goes_through_the_services_own_handler_once(
    dead: Run, database_url: str, service: str
) -> None:
    response_id = f"dead-{service}"
    letter = bury(database_url, service, answer(response_id))

    first = dead("replay", service, str(letter))
    second = dead("replay", service, str(letter))

    assert first.code == second.code == 0
    assert f"{service} {letter}: ok" in first.out
    assert f"{service} {letter}: settled before" in second.out
    assert count(database_url, service, response_id) == 1


def test_what_still_cannot_be_applied_stays_dead_and_changes_nothing(dead: Run, database_url: str) -> None:
    letter = bury(database_url, "scorer", answer("dead-invalid"), value=b'{"store": "demo"}')
    done = dead("replay", "scorer", str(letter))
    shown = dead("show", "scorer", str(letter), "--json").json

    assert done.code == 1
    assert "is still not an event: invalid_body" in done.out
    assert shown["state"] == "dead"
    assert shown["settled_at"] is None


def test_all_of_a_reason_are_replayed_and_no_others(dead: Run, database_url: str) -> None:
    wanted = [
        bury(database_url, "scorer", answer(f"dead-all-{n}"), reason="handler_failed_so") for n in (1, 2)
    ]
    other = bury(database_url, "scorer", answer("dead-all-3"), reason="another")

    done = dead("replay", "scorer", "--all", "--reason", "handler_failed_so", "--json")

    assert [one["id"] for one in done.json] == wanted
    assert {one["outcome"] for one in done.json} == {"ok"}
    assert dead("show", "scorer", str(other), "--json").json["state"] == "dead"


def test_one_or_all_has_to_be_said(dead: Run) -> None:
    assert dead("replay", "scorer").code == 1
    assert dead("replay", "scorer", "1", "--all").code == 1


def test_the_content_is_shown_only_when_asked_for(dead: Run, database_url: str) -> None:
    letter = str(bury(database_url, "notifier", answer("dead-shown"), reason="handler_failed"))

    for shown in (dead("show", "notifier", letter), dead("list"), dead("list", "--json")):
        assert "handler_failed" in shown.out
        assert "response.submitted.v1" in shown.out
        assert COMMENT not in shown.out
    assert COMMENT in dead("show", "notifier", letter, "--value").out


def test_a_discarded_letter_is_kept_but_not_replayed(dead: Run, database_url: str) -> None:
    letter = str(bury(database_url, "segmenter", answer("dead-discarded")))

    assert dead("discard", "segmenter", letter).code == 0
    assert "settled before" in dead("replay", "segmenter", letter).out
    assert "nothing to do" in dead("discard", "segmenter", letter).out
    assert count(database_url, "segmenter", "dead-discarded") == 0
    discarded = dead("list", "--service", "segmenter", "--state", "discarded", "--json").json
    assert letter in [str(one["id"]) for one in discarded]
    assert all(one["settled_at"] for one in discarded)


def test_a_letter_that_is_not_there(dead: Run) -> None:
    for command in ("show", "replay", "discard"):
        done = dead(command, "scorer", "999999999")
        assert done.code == 1
        assert "no dead letter 999999999" in done.err
