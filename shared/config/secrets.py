"""Keys for single purposes, derived from the root secret, or from the one that signs if there is one."""

import hashlib
import hmac

_STORED = frozenset({"api-key-pepper", "customer-ref"})
"""What is made with these stands in tables for ever, so they stay with the root."""


class Secrets:
    """A leak of one derived key says nothing of the others.

    `signing` takes the root's place for sessions, links and tokens: another one voids them and touches
    nothing that is stored. Empty: the root signs too.
    """

    def __init__(self, root: str, signing: str = "") -> None:
        self._root = root.encode()
        self._signing = (signing or root).encode()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same as long as the secret: HMAC-SHA256 of the purpose under it."""
        secret = self._root if purpose in _STORED else self._signing
        return hmac.digest(secret, f"closeloop/{purpose}".encode(), hashlib.sha256)

    @property
    def pepper(self) -> bytes:
        """Hashes API keys."""
        return self.derive("api-key-pepper")

    @property
    def customers(self) -> bytes:
        """Turns customer ids and e-mail addresses into references."""
        return self.derive("customer-ref")

    @property
    def amend_tokens(self) -> bytes:
        """Signs the tokens that let a browser amend its own answer."""
        return self.derive("amend-token")

    @property
    def customer_tokens(self) -> bytes:
        """Signs the tokens with which a store's server vouches for a customer."""
        return self.derive("customer-token")
