"""How to reach a customer, merged from all events that named the person: the only personal data here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self, TypeVar

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Contact:
    """Each field keeps the value with the highest stamp, so any order of the events gives the same one.

    `known`: the store's own server named this customer once. A customer who is only claimed, by a browser
    with a public key, has a row for its facts to wait in, but `known` is false and the rest is empty.
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
        """The contact that one event of the store's server gives; `at` is when the event was received."""
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
        """Only the fields that were given after this moment; empty when there are none."""
        start = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f} ~"
        left = Contact()
        for name in ("email", "name", "consent"):
            if (stamp := getattr(self, f"{name}_stamp")) > start:
                left = replace(left, **{name: getattr(self, name), f"{name}_stamp": stamp})
        return left

    def merged(self, other: Contact) -> Contact:
        """Each field from whichever of the two has the higher stamp."""
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


def _later(first: tuple[_V | None, str], second: tuple[_V | None, str]) -> tuple[_V | None, str]:
    return second if second[1] > first[1] else first
