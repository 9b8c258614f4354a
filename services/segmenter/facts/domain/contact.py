"""How to reach a customer: the only personal data here, merged from whatever events named the person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self, TypeVar

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Contact:
    """Each field keeps the value with the highest stamp, so any order of the events gives the same one.

    `known`: the store's own server named this customer once. A customer who is only claimed, by a browser
    with a public key, has a row for its facts to wait in, but is nobody yet, and says nothing here.
    """

    known: bool = False
    customer_id: str | None = None
    email: str | None = None
    email_stamp: str = ""
    name: str | None = None
    name_stamp: str = ""
    consent: bool | None = None
    consent_stamp: str = ""

    @classmethod
    def named(
        cls,
        *,
        customer_id: str | None,
        email: str | None,
        name: str | None,
        consent: bool | None,
        at: datetime,
        ce_id: str,
    ) -> Self:
        """What one event of the store's server says; `at` is when it was received."""
        stamp = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f} {ce_id}"
        return cls(
            known=True,
            customer_id=customer_id,
            email=email,
            email_stamp=stamp if email is not None else "",
            name=name,
            name_stamp=stamp if name is not None else "",
            consent=consent,
            consent_stamp=stamp if consent is not None else "",
        )

    def after(self, moment: datetime) -> Contact:
        """What was said later than this moment; who was named only before it is nobody."""
        start = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f} ~"
        left = Contact()
        for name in ("email", "name", "consent"):
            if (stamp := getattr(self, f"{name}_stamp")) > start:
                left = replace(left, **{name: getattr(self, name), f"{name}_stamp": stamp})
        return left

    def merged(self, other: Contact) -> Contact:
        email, email_stamp = _later((self.email, self.email_stamp), (other.email, other.email_stamp))
        name, name_stamp = _later((self.name, self.name_stamp), (other.name, other.name_stamp))
        consent, consent_stamp = _later(
            (self.consent, self.consent_stamp), (other.consent, other.consent_stamp)
        )
        return Contact(
            known=self.known or other.known,
            customer_id=self.customer_id if self.customer_id is not None else other.customer_id,
            email=email,
            email_stamp=email_stamp,
            name=name,
            name_stamp=name_stamp,
            consent=consent,
            consent_stamp=consent_stamp,
        )


def _later(one: tuple[_V | None, str], two: tuple[_V | None, str]) -> tuple[_V | None, str]:
    return two if two[1] > one[1] else one
