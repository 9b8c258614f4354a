"""Keys for single purposes, derived from the one root secret."""

import hashlib
import hmac


class Secrets:
    """A leak of one derived key says nothing of the others."""

    def __init__(self, root: str) -> None:
        self._root = root.encode()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same for ever: HMAC-SHA256 of the purpose under the root."""
        return hmac.digest(self._root, f"closeloop/{purpose}".encode(), hashlib.sha256)

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
