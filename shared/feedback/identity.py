"""Who an answer comes from, as a reference that says nothing to whoever lacks the secret."""

from __future__ import annotations

import hmac
from typing import Final
from uuid import uuid4

ERASED: Final = "erased:"
"""How the references begin that stand in the place of people who were erased."""


def surrogate() -> str:
    """A reference to nobody, for the rows of somebody who was erased. Nothing leads from one to the other."""
    return ERASED + uuid4().hex


def is_erased(ref: str | None) -> bool:
    """Whether a reference stands in the place of somebody who was erased."""
    return ref is not None and ref.startswith(ERASED)


def length_prefixed(*parts: str) -> str:
    """One text for several, from which they can be told apart: `a:b` + `c` is not `a` + `b:c`.

    Each part is written as its length in characters, a colon, and itself: ("ab", "c") -> "2:ab1:c".
    """
    return "".join([f"{len(part)}:{part}" for part in parts])


def customer_ref(
    secret: bytes, store: str, *, customer_id: str | None = None, email: str | None = None
) -> str | None:
    """32 hex digits for a customer of a store: HMAC-SHA256, its first 128 bits; None if nobody is named.

    The id wins over the e-mail and is taken as it is; the e-mail counts without surrounding space and
    without case. Blank text names nobody. An id never meets an e-mail, even if both read the same, and
    the same person has unrelated references in two stores. Raises ValueError for an empty secret.
    """
    if not secret:
        raise ValueError("customer_ref needs a secret")
    if customer_id and not customer_id.isspace():
        named = length_prefixed("id", store, customer_id)
    elif email and (address := email.strip().casefold()):
        named = length_prefixed("email", store, address)
    else:
        return None
    return hmac.digest(secret, named.encode(), "sha256")[:16].hex()


def customer_refs(
    secret: bytes, store: str, *, customer_id: str | None = None, email: str | None = None
) -> tuple[str, ...]:
    """The reference of the id and that of the e-mail: everything under which one person may be known."""
    by_id = customer_ref(secret, store, customer_id=customer_id)
    by_email = customer_ref(secret, store, email=email)
    return tuple(ref for ref in (by_id, by_email) if ref is not None)


def order_ref(secret: bytes, store: str, order_id: str) -> str:
    """32 hex digits for an order of a store, which say nothing to whoever lacks the secret."""
    named = length_prefixed("order", store, order_id)
    return hmac.digest(secret, named.encode(), "sha256")[:16].hex()
