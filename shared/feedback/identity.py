"""Who an answer comes from, as a reference that says nothing to whoever lacks the secret."""

from __future__ import annotations

import hmac


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
