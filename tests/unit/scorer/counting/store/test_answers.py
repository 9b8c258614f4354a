"""Reading what one person answered, however much it is."""

import asyncio
from typing import Any

from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store import answers


class TestInPieces:
    async def test_others_get_their_turn_in_between(self) -> None:
        seen: list[Any] = []

        def read(row: int) -> Answer:
            seen.append(row)
            return Answer("shop", str(row))

        async def other() -> None:
            seen.append("other")

        waiting = asyncio.create_task(other())
        found = await answers.in_pieces(list(range(7)), read, piece=3)
        await waiting
        assert seen == [0, 1, 2, "other", 3, 4, 5, 6]
        assert [answer.response_id for answer in found] == [str(number) for number in range(7)]
