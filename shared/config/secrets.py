"""Keys for single purposes, derived from the root secret, or from the one that signs if there is one."""

import hashlib
import hmac

_STORED = frozenset({"api-key-pepper", "customer-ref"})
"""What is computed with these keys is stored for ever, so they are always derived from the root."""


class Secrets:
    """Derives keys. Somebody who learns one derived key learns nothing about the others.

    `signing` takes the root's place for sessions, links and tokens: to change it voids those, and nothing
    that is stored. Empty: the root signs too.
    """

    def __init__(self, root: str, signing: str = "") -> None:
        self._root = root.encode()
        self._signing = (signing or root).encode()

    def derive(self, purpose: str) -> bytes:
        """The key for a purpose: 32 bytes, HMAC-SHA256 of the purpose under the secret."""
        secret = self._root if purpose in _STORED else self._signing
        return hmac.digest(secret, f"closeloop/{purpose}".encode(), hashlib.sha256)

    @property
    def pepper(self) -> bytes:
        """The key that hashes API keys."""
        return self.derive("api-key-pepper")

    @property
    def customers(self) -> bytes:
        """The key that turns customer ids and e-mail addresses into references."""
        return self.derive("customer-ref")

    @property
    def amend_tokens(self) -> bytes:
        """The key that signs the tokens with which a browser may amend its own answer."""
        return self.derive("amend-token")

    @property
    def customer_tokens(self) -> bytes:
        """The key that signs the tokens with which a store's server vouches for a customer."""
        return self.derive("customer-token")
