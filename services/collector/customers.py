"""The references under which the other services know the customer that a body names."""

from collections.abc import Mapping
from typing import Any

from services.collector.domain import InvalidInput
from shared.feedback.identity import customer_ref, customer_refs

_NOBODY = "needs an id or an e-mail that is not blank"


class CustomerRefs:
    """Knows the secret with which references are made. `customer` may hold `id` and `email`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def ref(self, store: str, customer: Mapping[str, Any], pointer: str) -> str:
        """The reference of the id, or of the e-mail if there is no id. Raises InvalidInput at `pointer`."""
        ref = customer_ref(self._secret, store, customer_id=customer.get("id"), email=customer.get("email"))
        if ref is None:
            raise InvalidInput(pointer, _NOBODY)
        return ref

    def all_refs(self, store: str, customer: Mapping[str, Any], pointer: str) -> tuple[str, ...]:
        """The references of the id and of the e-mail. Raises InvalidInput at `pointer` if both are blank."""
        refs = customer_refs(self._secret, store, customer_id=customer.get("id"), email=customer.get("email"))
        if not refs:
            raise InvalidInput(pointer, _NOBODY)
        return refs
