"""A letter that loses a race is tried again, and does not stop the others."""

import pytest

from cli.replaying import Failure, Replayer
from shared.db import Raced


class Racing(Replayer):
    """Loses so many races before it wins one."""

    def __init__(self, lost: int) -> None:
        self.left = lost

    async def _replay(self, letter_id: int) -> str:
        if self.left:
            self.left -= 1
            raise Raced
        return "ok"


class TestAReplay:
    @pytest.mark.parametrize("lost", [0, 1, 2])
    async def test_wins_in_the_end(self, lost: int) -> None:
        assert await Racing(lost).replay(1) == "ok"

    async def test_that_never_wins_has_failed_alone(self) -> None:
        with pytest.raises(Failure, match="the handler failed again: Raced"):
            await Racing(99).replay(1)

    async def test_of_a_database_that_is_away_is_for_whoever_asked(self) -> None:
        class Away(Racing):
            async def _replay(self, letter_id: int) -> str:
                raise ConnectionRefusedError

        with pytest.raises(ConnectionRefusedError):
            await Away(0).replay(1)
