"""New answers as PostgreSQL's binary COPY wants them."""

from struct import unpack_from

import pytest

from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store import writing


def fields(stream: bytes) -> list[list[bytes | None]]:
    """The rows of a binary COPY."""
    assert stream.startswith(b"PGCOPY\n\xff\r\n\0")
    place, rows = 19, []
    while (count := unpack_from("!h", stream, place)[0]) != -1:
        place += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = unpack_from("!i", stream, place)
            place += 4
            row.append(stream[place : place + length] if length >= 0 else None)
            place += max(0, length)
        rows.append(row)
    assert place + 2 == len(stream)
    return rows


class TestRows:
    @pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
    async def test_come_in_pieces_and_are_all_there(self, count: int) -> None:
        answers = [Answer("shop", f"r-{number}") for number in range(count)]
        pieces = [piece async for piece in writing.binary_rows(answers)]
        rows = fields(b"".join(pieces))
        assert len(pieces) == 2 + (count + 99) // 100
        assert {len(row) for row in rows} <= {len(writing.COLUMNS)}
        assert [row[1] for row in rows] == [f"r-{number}".encode() for number in range(count)]
