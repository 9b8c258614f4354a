"""Columns of keys and numbers as single texts.

asyncpg asks of each element of an array whether it is an array itself; of one long text it asks once.
"""

from collections.abc import Iterable
from uuid import uuid4


def packed(keys: Iterable[tuple[str, str]]) -> tuple[str, str, str]:
    """Both columns as texts for `string_to_array`, and what they are separated by. Not for no keys at all."""
    stores, names = zip(*keys, strict=True)
    for separator in ("\x1f", "\x1e", "\x1d", f"\x1f{uuid4().hex}\x1f"):
        texts = separator.join(stores), separator.join(names)
        if all(text.count(separator) == len(stores) - 1 for text in texts):
            break
    return (*texts, separator)


def array_of(values: Iterable[object]) -> str:
    """Numbers, days and truths as PostgreSQL writes an array of them."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
