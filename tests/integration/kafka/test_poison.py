"""A poison message stops nobody, and a stream of nothing else stops the consumer."""

import time
from collections.abc import Sequence

import asyncpg
import pytest
from prometheus_client import REGISTRY

from shared.db import Database, Session, asyncpg_connection
from shared.events import Received
from shared.kafka import Applier, OutcomeCounts
from shared.kafka import consumer as consuming
from shared.ops.health import NotReady
from tests.integration.kafka.toy_group import Group, Headers, eventually

SECRET = "jane@example.com"


def changed(headers: Headers, **values: bytes | None) -> Headers:
    """The headers with other values; None takes one away."""
    merged = {**dict(headers), **values}
    return [(name, value) for name, value in merged.items() if value is not None]


class TestABadRecord:
    async def test_is_buried_once_with_its_reason_and_stops_nobody(self, group: Group) -> None:
        key, value, headers = group.record("bad", text=SECRET)
        bad = {
            "invalid_body": [
                (key, f'{{"{SECRET}'.encode(), headers),
                (key, b"\xff\xfe\x00", headers),
                (key, b"[1, 2]", headers),
                (key, f'{{"store": "s", "id": "x", "amount": "{SECRET}"}}'.encode(), headers),
                (key, b"[" * 200_000, headers),
                (key, b'{"store": "s", "id": "x", "amount": 1' + b"0" * 5000 + b"}", headers),
            ],
            "no_value": [(key, None, headers)],
            "wrong_topic": [(key, value, changed(headers, ce_type=b"order.delivered.v1"))],
            "no_envelope": [(key, value, []), (None, None, []), (key, value, changed(headers, ce_id=b""))],
            "headers_not_utf8": [(key, value, changed(headers, ce_id=b"\xff" + SECRET.encode()))],
        }
        skipped = [(key, value, changed(headers, ce_type=b"response.renamed.v9"))]
        poison = [record for records in bad.values() for record in records]
        mixed = []
        for number, record in enumerate([*poison, *skipped]):
            mixed += [group.record(f"id-{2 * number}"), record, group.record(f"id-{2 * number + 1}")]
        await group.produce(mixed, partition=0)
        async with group.member() as consumer:
            await eventually(lambda: at(group, len(mixed)))
            await consumer.check()

        letters = await group.letters()
        assert [place % 3 for _, place, _, _ in letters] == [1] * len(poison)
        assert [reason for _, _, reason, _ in letters] == [
            reason for reason, records in bad.items() for _ in records
        ]
        assert await group.total() == 2 * len(poison) + 2
        assert len(await group.places()) == 2 * len(poison) + 2
        stored = await group.fetch(
            "SELECT reason, detail, correlation_id, headers::text FROM {s}.dead_letters"
        )
        assert SECRET not in str(stored)

    async def test_is_counted_until_somebody_settled_it(
        self, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consuming, "_LETTERS_SECONDS", 0.1)

        def backlog() -> float | None:
            return REGISTRY.get_sample_value("closeloop_dead_letter_backlog_records", {"group": group.name})

        await group.produce([(b"k", b"not json", []), (b"k", None, []), group.record("good")], partition=0)
        async with group.member():
            await eventually(lambda: backlog() == 2)
            async with group.sql() as db:
                await db.execute(
                    f"""UPDATE {group.schema}.dead_letters SET state = 'discarded' WHERE "offset" = 0"""
                )
            await eventually(lambda: backlog() == 1)

    async def test_keeps_what_came_for_whoever_looks(self, group: Group) -> None:
        _, _, headers = group.record("x")
        await group.produce([(b"key", b"not json", headers)], partition=0)
        async with group.member():
            await eventually(lambda: at(group, 1))

        kept = await group.fetch("SELECT key, value, correlation_id FROM {s}.dead_letters")
        assert kept == [(b"key", b"not json", dict(headers)["traceparent"].split(b"-")[1].decode())]

    @pytest.mark.parametrize(
        "headers",
        [
            [("ce_id", None), ("ce_type", None)],
            [("a\0b", b"\0"), ("traceparent", b"00-jane\0@example.com-x-01")],
            [("x" * 5000, b"x" * 5000)],
        ],
        ids=["null values", "NUL", "huge"],
    )
    async def test_cannot_hinder_its_own_burial(self, group: Group, headers: Headers) -> None:
        await group.produce([(None, b"{}", headers), group.record("good")], partition=0)
        async with group.member():
            await eventually(lambda: at(group, 2))

        assert [reason for _, _, reason, _ in await group.letters()] == ["no_envelope"]
        assert await group.total() == 1

    async def test_with_a_header_name_that_is_not_utf8_stops_nobody(self, group: Group) -> None:
        """aiokafka cannot read such a record: the name breaks its parser, not ours."""
        await group.produce([group.record("a")], partition=0)
        await group.produce_unreadable()
        await group.produce([group.record("b")], partition=0)
        async with group.member():
            await eventually(lambda: at(group, 3))

        assert await group.letters() == [(0, 1, "unreadable", "UnicodeDecodeError")]
        assert await group.total() == 2

    @pytest.mark.parametrize("group", [3], indirect=True)
    async def test_costs_no_other_partition_its_records(self, group: Group) -> None:
        """What aiokafka took before its parser broke is gone from its buffer, and its positions moved on."""
        outer = [group.record(f"outer-{n}") for n in range(100)]
        for partition, good in ((0, outer[:50]), (2, outer[50:])):
            await group.produce_unreadable(partition)
            await group.produce(good, partition=partition)
        for half in ("before", "after"):
            await group.produce([group.record(f"{half}-{n}") for n in range(50)], partition=1)
            if half == "before":
                await group.produce_unreadable(1)
        async with group.member():
            await eventually(lambda: at(group, 51, partition=0))
            await eventually(lambda: at(group, 101, partition=1))
            await eventually(lambda: at(group, 51, partition=2))

        assert [letter[:3] for letter in await group.letters()] == [
            (0, 0, "unreadable"),
            (1, 50, "unreadable"),
            (2, 0, "unreadable"),
        ]
        assert await group.total() == 200


class TestARecordThatItsHandlerRefuses:
    async def test_is_found_in_the_middle_of_a_batch(self, group: Group) -> None:
        group.spoilt = {"id-3", "id-4", "id-57"}
        await group.produce([group.record(f"id-{n}", text=SECRET) for n in range(100)], partition=0)
        async with group.member():
            await eventually(lambda: at(group, 100))

        assert await group.letters() == [(0, place, "handler_failed", "ValueError") for place in (3, 4, 57)]
        assert sorted(place for _, place in await group.places()) == sorted(set(range(100)) - {3, 4, 57})

    @pytest.mark.parametrize(
        ("statement", "detail"),
        [
            ("SELECT $1::text::int", "InvalidTextRepresentationError"),
            ("SELECT $1::int", "DataError"),
            ("SELECT 1 / length(left($1::text, 0))", "DivisionByZeroError"),
            ("SELECT convert_from('\\xff', 'UTF8') || $1::text", "CharacterNotInRepertoireError"),
        ],
    )
    async def test_is_told_from_a_database_in_trouble(
        self, group: Group, statement: str, detail: str
    ) -> None:
        async def spoil(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            outcomes = await group.handle(session, batch)
            if any(r.event.id == "id-2" for r in batch):  # type: ignore[attr-defined]
                await (await asyncpg_connection(session)).fetch(statement, SECRET)
            return outcomes

        await group.produce([group.record(f"id-{n}") for n in range(5)], partition=0)
        async with group.member(handler=spoil):
            await eventually(lambda: at(group, 5))

        assert await group.letters() == [(0, 2, "handler_failed", detail)]
        assert [place for _, place in await group.places()] == [0, 1, 3, 4]

    async def test_loses_a_race_for_ever_only_when_it_is_none(self, group: Group) -> None:
        async def collide(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            outcomes = await group.handle(session, batch)
            if any(r.event.id == "id-2" for r in batch):  # type: ignore[attr-defined]
                await (await asyncpg_connection(session)).execute(
                    f"INSERT INTO {group.schema}.counted VALUES ('id-2', 0)"
                )
            return outcomes

        await group.produce([group.record(f"id-{n}") for n in range(5)], partition=0)
        async with group.member(handler=collide):
            await eventually(lambda: at(group, 5))

        assert await group.letters() == [(0, 2, "handler_failed", "UniqueViolationError")]

    async def test_takes_too_long_again_and_again(self, group: Group) -> None:
        """Our own time limit stops it; tried for ever, it would block its partition."""
        tried: list[int] = []

        async def slow(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            outcomes = await group.handle(session, batch)
            if any(r.event.id == "id-20" for r in batch):  # type: ignore[attr-defined]
                tried.append(len(batch))
                await (await asyncpg_connection(session)).execute("SELECT pg_sleep(5)")
            return outcomes

        await group.produce([group.record(f"id-{n}") for n in range(40)], partition=0)
        async with group.member(handler=slow, statement_timeout_seconds=0.2):
            await eventually(lambda: at(group, 40))

        assert await group.letters() == [(0, 20, "too_slow", "QueryCanceledError")]
        assert tried.count(1) == 5
        assert await group.total() == 39

    async def test_waits_for_another_for_as_long_as_it_takes(self, group: Group) -> None:
        """A rebuild holds the tables of a consumer for longer than any statement may take."""
        refused: list[str] = []

        async def noting(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            try:
                return await group.handle(session, batch)
            except asyncpg.LockNotAvailableError as error:
                refused.append(str(error))
                raise

        await group.produce([group.record("id-0")], partition=0)
        async with group.sql() as other, group.member(handler=noting, statement_timeout_seconds=0.2):
            async with other.transaction():
                await other.execute(f"LOCK TABLE {group.schema}.counted IN SHARE ROW EXCLUSIVE MODE")
                await eventually(lambda: len(refused) > 5)
            await eventually(lambda: at(group, 1))

        assert await group.letters() == []
        assert await group.total() == 1

    async def test_is_not_buried_when_the_offset_moved_meanwhile(self, group: Group) -> None:
        """Burial and offset are one transaction."""
        group.spoilt = {"id-0"}
        await group.produce([group.record("id-0")], partition=0)
        async with group.member(), group.member(kafka_group=f"{group.name}-zombie"):
            await eventually(lambda: at(group, 1))

        assert len(await group.letters()) == 1

    async def test_can_be_replayed_once_its_handler_is_mended(self, group: Group) -> None:
        group.spoilt = {"id-0"}
        await group.produce([group.record("id-0", 5)], partition=0)
        async with group.member():
            await eventually(lambda: at(group, 1))
        group.spoilt.clear()
        database = Database(group.url)
        applier = Applier(database, group.inbox, {group.event: group.handle})
        record = applier_record(group, await group.fetch("SELECT key, value FROM {s}.dead_letters"))
        async with database.transaction() as session:
            first = await applier.replay(session, record)
            second = await applier.replay(session, record)
        await database.close()

        assert (first, second) == ("ok", "duplicate")
        assert await group.total() == 5


class TestTheBreaker:
    async def test_halts_at_a_stream_of_nothing_but_poison(self, group: Group) -> None:
        await group.produce([(b"k", b"no", [])] * 500, partition=0)
        async with group.member() as consumer:
            await eventually(lambda: consumer.halted)
            with pytest.raises(NotReady, match="too many dead letters"):
                await consumer.check()
            halted = time.monotonic()
            await eventually(lambda: time.monotonic() - halted > 3 and consumer.since_last_turn() < 1.6)
            assert group.clients[-1].assignment()

        assert len(await group.letters()) == 50
        assert (await group.offsets())[0] == 50

    async def test_halts_when_every_handler_call_fails(self, group: Group) -> None:
        async def broken(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            raise KeyError("a bad deploy")

        await group.produce([group.record(f"id-{n}") for n in range(500)], partition=0)
        async with group.member(handler=broken) as consumer:
            await eventually(lambda: consumer.halted)

        assert len(await group.letters()) == 50
        assert (await group.offsets())[0] == 50


def applier_record(group: Group, rows: list[tuple[bytes, bytes]]) -> object:
    from types import SimpleNamespace

    ((key, value),) = rows
    _, _, headers = group.record("any")
    return SimpleNamespace(
        topic=group.topic, partition=0, offset=0, timestamp=0, key=key, value=value, headers=headers
    )


async def at(group: Group, offset: int, *, partition: int = 0) -> bool:
    return (await group.offsets()).get(partition) == offset
