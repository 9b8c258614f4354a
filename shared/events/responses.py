"""Answers to surveys, and what happens to them later. Key: store, response id."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from shared.events import topics
from shared.events.model import Event, OpenEnum, Part
from shared.feedback.identity import respondent
from shared.feedback.revisions import Revision, revisions


class Channel(OpenEnum):
    WEB = "web"
    EMAIL = "email"
    SMS = "sms"
    IN_APP = "in_app"
    LINK = "link"
    KIOSK = "kiosk"
    PHONE = "phone"
    API = "api"
    OTHER = "other"


class Identity(OpenEnum):
    """Who may know the respondent: actions and cases are for `identified` only."""

    IDENTIFIED = "identified"
    CONFIDENTIAL = "confidential"
    ANONYMOUS = "anonymous"
    OTHER = "other"


class Customer(Part):
    """`ref` is the HMAC under which every service knows the person; the rest is personal."""

    ref: str
    id: str | None = None
    email: str | None = None
    name: str | None = None
    consent: bool | None = None


class AboutOrder(Part):
    id: str | None = None
    value: Decimal | None = None
    currency: str | None = None


class FollowUp(Part):
    question: str
    value: Any = None


class _Response(Event):
    topic: ClassVar = topics.RESPONSES

    response_id: str
    received_at: datetime
    key_id: str = ""

    def subject(self) -> tuple[str, ...]:
        return (self.response_id,)


class ResponseSubmitted(_Response):
    """A whole answer. Two bodies under one id: the lowest `ce_id` wins, the other is a conflict.

    `fingerprint`: hex SHA-256 of what the client sent, canonical, so that a retry is told from a rival.
    `verified`: the store's server vouches for the customer; otherwise the customer is only claimed.
    `historical`: imported; counts, and alerts nobody.
    """

    type: ClassVar = "response.submitted.v1"

    fingerprint: str
    metric: str
    scale: str
    score: int
    answered_at: datetime
    comment: str | None = None
    complete: bool = True
    answers: tuple[FollowUp, ...] = ()
    touchpoint: str | None = None
    channel: Channel = Channel.API
    locale: str | None = None
    test: bool = False
    historical: bool = False
    identity: Identity = Identity.ANONYMOUS
    verified: bool = True
    customer: Customer | None = None
    order: AboutOrder | None = None
    segments: Mapping[str, str] = {}

    @property
    def respondent(self) -> str | None:
        """Under which reference the answer counts; None for one that names nobody."""
        if self.customer is None or self.identity is Identity.ANONYMOUS:
            return None
        return respondent(self.customer.ref, verified=self.verified)


AMENDABLE = {"score", "comment", "answers", "complete"}
"""The fields of an answer that an amendment may change."""


class ResponseAmended(_Response):
    """Only the fields that changed; `shared.feedback.revisions` says which of them count.

    `fingerprint`: of the only body that it may change, if it came with an amend token. `metric` and `scale`:
    what the sender took the answer for, if that is known.
    """

    type: ClassVar = "response.amended.v1"

    revision: int = 1
    score: int | None = None
    comment: str | None = None
    answers: tuple[FollowUp, ...] | None = None
    complete: bool | None = None
    fingerprint: str | None = None
    metric: str | None = None
    scale: str | None = None

    def revisions(self, ce_id: str) -> list[Revision]:
        """A revision for each field that it changes. `ce_id`: the id of its envelope."""
        return revisions(
            self.model_dump(mode="json", include=AMENDABLE, exclude_none=True),
            number=self.revision,
            ce_id=ce_id,
            of=self.fingerprint,
            metric=self.metric,
            scale=self.scale,
        )


class ResponseRetracted(_Response):
    """The answer no longer counts. Final."""

    type: ClassVar = "response.retracted.v1"

    reason: str = ""


class SurveySent(_Response):
    """An invitation left for a customer."""

    type: ClassVar = "survey.sent.v1"

    customer: Customer | None = None
    channel: Channel = Channel.LINK
    touchpoint: str | None = None
