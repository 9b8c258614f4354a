"""Dead letters are emptied when the log lets go of their records, and dropped later."""

from typing import Any

from sqlalchemy import text

from shared.db import Database, DeadLetter, Inbox
from shared.db.dead_letters import DeadLetters
from shared.db.erasures import Erasures
from shared.db.residue import search

PLACE = 7_000_000
COUNT = 3


async def letters(database: Database, days: int) -> list[Any]:
    """Three letters of so many days; what becomes of them is read by `states`."""
    inbox = Inbox("segmenter", f"aging-{days}")
    async with database.transaction() as session:
        await inbox.bury(
            session,
            [
                DeadLetter("t", 0, PLACE + n, "invalid_body", "/x", b"key", b"somebody@example.com", (), "")
                for n in range(COUNT)
            ],
        )
        await session.execute(
            text("UPDATE segmenter.dead_letters SET dead_at = now() - make_interval(days => :d)"
                 " WHERE consumer = :c"),
            {"d": days, "c": inbox.consumer},
        )  # fmt: skip
        await DeadLetters("segmenter").age_out(session)
        rows = await session.execute(
            text("SELECT key, value, state FROM segmenter.dead_letters WHERE consumer = :c"),
            {"c": inbox.consumer},
        )
        found = list(rows)
        await session.execute(
            text("DELETE FROM segmenter.dead_letters WHERE consumer = :c"), {"c": inbox.consumer}
        )
    return [tuple(row) for row in found]


class TestAgingOut:
    async def test_leaves_young_letters_alone(self, database: Database) -> None:
        assert await letters(database, 20) == [(b"key", b"somebody@example.com", "dead")] * COUNT

    async def test_empties_old_ones_and_keeps_their_place(self, database: Database) -> None:
        assert await letters(database, 22) == [(None, None, "discarded")] * COUNT

    async def test_drops_those_whose_record_is_long_gone(self, database: Database) -> None:
        assert await letters(database, 31) == []


class TestBlankingAndSearching:
    async def test_find_a_word_in_bytes_and_in_any_case(self, database: Database) -> None:
        inbox, ref = Inbox("segmenter", "blanking"), "ab" * 16
        body = b'{"customer": {"ref": "' + ref.encode() + b'", "email": "Ada@Blanking.example"}'
        async with database.transaction() as session:
            await inbox.bury(session, [DeadLetter("t", 0, PLACE, "x", "", b"k", body, (), "")])
            found = await search(session, "segmenter", ["ada@blanking.example"])
            assert [(f.table, f.column, f.rows) for f in found] == [("dead_letters", "value", 1)]
            assert await Erasures("segmenter").blank_letters(session, [("shop", ref)]) == 1
            assert await search(session, "segmenter", ["ada@blanking.example", ref]) == []
            assert await Erasures("segmenter").blank_letters(session, [("shop", ref)]) == 0
            await session.execute(text("DELETE FROM segmenter.dead_letters WHERE consumer = 'blanking'"))
