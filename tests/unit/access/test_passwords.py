"""The turns of those who wait for a password to be checked."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from shared.access import passwords
from shared.access.passwords import Crowded, Passwords, TooManyAtOnce


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Passwords are checked when this is set."""
    go_on = threading.Event()

    class Hasher:
        def hash(self, password: str) -> str:
            return f"hash of {password}"

        def verify(self, stored: str, password: str) -> bool:
            return go_on.wait(5)

    monkeypatch.setattr(passwords, "PasswordHasher", Hasher)
    yield go_on
    go_on.set()


class TestATurn:
    async def test_is_one_of_two_for_a_client_who_sends_many(
        self, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checking = Passwords()
        noisy = [asyncio.create_task(checking.right("x", "y", client="noisy")) for _ in range(8)]
        await asyncio.sleep(0.05)
        other = asyncio.create_task(checking.hash("a password", client="other"))
        assert await asyncio.wait_for(other, 2) == "hash of a password"
        with pytest.raises(TooManyAtOnce):
            await checking.right("x", "y", client="noisy")
        slow.set()
        assert await asyncio.gather(*noisy) == [True] * 8

    async def test_that_does_not_come_in_time_is_crowded(
        self, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.05)
        checking = Passwords()
        first = [asyncio.create_task(checking.right("x", "y", client=client)) for client in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(Crowded) as crowded:
            await checking.right("x", "y", client="c")
        assert not isinstance(crowded.value, TooManyAtOnce)
        slow.set()
        await asyncio.gather(*first)
        assert await checking.right("x", "y", client="c")

    async def test_of_many_clients_is_not_waited_for_without_end(
        self, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "_MOST_WAITING", 5)
        checking = Passwords()
        waiting = [asyncio.create_task(checking.right("x", "y", client=client)) for client in "abcde"]
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await checking.right("x", "y", client="f")
        slow.set()
        assert await asyncio.gather(*waiting) == [True] * 5
