"""References to customers and orders, from which nobody can learn the id or e-mail without the secret."""

from __future__ import annotations

import hmac
import unicodedata
from typing import Final
from uuid import uuid4

ERASED: Final = "erased:"
"""The start of each reference that replaces one of an erased customer."""

CLAIMED: Final = "claimed:"
"""The start of each reference of somebody who only says who they are, in a browser."""

_SECRETLESS = "a reference needs a secret"
_UNICODE_FORMS: Final = ("NFC", "NFD")


def surrogate() -> str:
    """A random reference for the rows of an erased customer. Nothing leads from it to the former one."""
    return ERASED + uuid4().hex


def is_erased(ref: str | None) -> bool:
    """Whether a reference replaces one of an erased customer."""
    return ref is not None and ref.startswith(ERASED)


def respondent(ref: str, *, verified: bool) -> str:
    """The reference under which an answer counts, for the reference of the customer whom it names.

    Anybody can claim in a browser to be a customer. Who does so without the word of the store's server is
    a respondent apart, and never takes the customer's place.
    """
    return ref if verified or is_erased(ref) or ref.startswith(CLAIMED) else CLAIMED + ref


def with_claims(ref: str) -> tuple[str, str]:
    """A customer's reference, and the one of those who claim to be this customer: both name the person."""
    return ref, respondent(ref, verified=False)


def unclaimed(ref: str) -> str:
    """The reference of the customer whom somebody claims to be; any other reference is returned as it is."""
    return ref.removeprefix(CLAIMED)


def normal_id(text: str) -> str:
    """An id as it is stored and compared: without the blanks around it."""
    return text.strip()


def normal_email(address: str) -> str:
    """An e-mail address as it is stored and compared everywhere: without the blanks around it, in Unicode's
    composed form (NFC), in lower case. Two addresses that differ otherwise are two people: `straße@` is not
    `strasse@`."""
    text = address.strip()
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def length_prefixed(*parts: str) -> str:
    """Join texts so that no two lists give the same result: `a:b` + `c` is not `a` + `b:c`.

    Each part is written as its length in characters, a colon, and itself: ("ab", "c") -> "2:ab1:c".
    """
    return "".join([f"{len(part)}:{part}" for part in parts])


def customer_ref(
    secret: bytes, store: str, *, customer_id: str | None = None, email: str | None = None
) -> str | None:
    """32 hex digits for a customer of a store: HMAC-SHA256, its first 128 bits; None if nobody is named.

    The id wins over the e-mail. Both count in their normal form (`normal_id`, `normal_email`), and blank text
    names nobody. An id never meets an e-mail, even if both read the same, and the same person has unrelated
    references in two stores. Raises ValueError for an empty secret.
    """
    if customer_id and (own_id := normal_id(customer_id)):
        return _ref(secret, "id", store, own_id)
    if email and (address := normal_email(email)):
        return _ref(secret, "email", store, address)
    if not secret:
        raise ValueError(_SECRETLESS)
    return None


def customer_refs(
    secret: bytes, store: str, *, customer_id: str | None = None, email: str | None = None
) -> tuple[str, ...]:
    """Everything under which one person may be known: the reference of the id, that of the e-mail, and those
    that releases before this one made of either, where they are others.

    Those took an id with the blanks around it, and an e-mail casefolded and in the form of Unicode in which
    it came (`strasse@` for `straße@`). What they stored is still there, also in the log and in backups. An id
    has to be given as the store sent it then; and who had the same reference then is named too: an erasure
    had better take too much than leave something.
    """
    named: list[tuple[str, str]] = []
    if customer_id and (own_id := normal_id(customer_id)):
        named += [("id", own_id), ("id", customer_id)]
    if email and (address := normal_email(email)):
        given = email.strip()
        forms = (given, *(unicodedata.normalize(form, given) for form in _UNICODE_FORMS))
        named += [("email", address), *(("email", form.casefold()) for form in forms)]
    return tuple(_ref(secret, kind, store, text) for kind, text in dict.fromkeys(named))


def spellings(address: str) -> tuple[str, ...]:
    """An e-mail address as text may have it, once that is in lower case: in its normal form, and as releases
    before this one stored it, which was as it came. Composed or decomposed, and a final sigma also as
    the database has it (PostgreSQL's `lower` knows no other sigma at the end of a word)."""
    given = address.strip()
    forms = (normal_email(given), given, *(unicodedata.normalize(f, given).lower() for f in _UNICODE_FORMS))
    return tuple(dict.fromkeys(text for form in forms for text in (form, form.replace("ς", "σ"))))


def order_ref(secret: bytes, store: str, order_id: str) -> str:
    """32 hex digits for an order of a store, made as `customer_ref` makes those of a customer."""
    return _ref(secret, "order", store, order_id)


def _ref(secret: bytes, kind: str, store: str, name: str) -> str:
    if not secret:
        raise ValueError(_SECRETLESS)
    return hmac.digest(secret, length_prefixed(kind, store, name).encode(), "sha256")[:16].hex()
