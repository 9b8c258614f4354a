"""The only way by which an answer gets in, whatever brought it: HTTP today; batches, imports, pages to come.

`AnswerAcceptor.check` applies the rules to one answer and makes its event; `AnswerAcceptor.accept` sends the
event and returns when Kafka has it. Nothing here knows of HTTP: whoever calls has read the body, and knows
who hands it in and that this may be done.

The event is a dictionary in the shape of `ResponseSubmitted` (a test holds the two together): building the
model only to print it would cost as much as reading the body.
"""

import hashlib
import itertools
from collections.abc import Collection
from datetime import datetime
from typing import Any, NewType, Protocol, TypedDict, get_args

import orjson
from uuid_utils import uuid7

from services.collector.domain import (
    CustomerRefs,
    InvalidInput,
    check_currency,
    check_score,
    checked_scale,
    event_time,
    namespaced,
    without_nulls,
)
from services.collector.responses.bodies import AnswerIn, Channel, CustomerIn
from services.collector.settings import SOURCE
from services.collector.tokens import AmendTokens, CustomerTokens
from shared.config import Store
from shared.events.envelope import Stamp
from shared.events.responses import ResponseSubmitted
from shared.feedback.identity import length_prefixed
from shared.kafka import Producer

CheckedAnswer = NewType("CheckedAnswer", dict[str, Any])
"""The fields of `ResponseSubmitted`, among them `response_id`. Only `AnswerAcceptor.check` makes one."""


class Warned(TypedDict):
    """What of an answer will not do what its sender may expect, though the answer is taken."""

    pointer: str
    detail: str


_MOST_LISTED = 20

_STAMP = Stamp(ResponseSubmitted.type, source=SOURCE)
_TOPIC = ResponseSubmitted.topic.name
_DEFAULTS: dict[str, dict[str, Any]] = {
    channel: {"metric": "nps", "scale": None, "channel": channel, "complete": True, "test": False}
    for channel in get_args(Channel)
}


class Submitter(Protocol):
    """Who hands in an answer. A `Caller` of the API is one."""

    @property
    def store(self) -> str:
        """The name of the store that was rated."""

    @property
    def config(self) -> Store:
        """The settings of that store."""

    @property
    def key_id(self) -> str:
        """The id of the key that the answer came with, for its event and its amend token."""

    @property
    def public(self) -> bool:
        """Whether the answer may come from anybody, and not only from the store's server."""


class AnswerAcceptor:
    """Checks answers and sends them to Kafka. It keeps nothing between calls, so that they may overlap."""

    def __init__(
        self,
        *,
        customer_refs: CustomerRefs,
        customer_tokens: CustomerTokens,
        amend_tokens: AmendTokens,
        producer: Producer,
    ) -> None:
        self._customer_refs = customer_refs
        self._customer_tokens = customer_tokens
        self._amend_tokens = amend_tokens
        self._producer = producer

    def check(
        self,
        body: AnswerIn,
        submitter: Submitter,
        *,
        now: datetime,
        client_id: str | None = None,
        channel: Channel = "api",
    ) -> CheckedAnswer:
        """Apply every rule to one answer and make its event. Nothing is sent: a trial run needs no more.

        `body` must have been validated by `bodies.ANSWER`, which holds it to types and limits; it is not
        changed. `client_id` is the client's id for the answer if that came beside the body; without any id
        the answer gets a UUIDv7. The id of a public submitter gets the prefix of its key. `channel` is for
        a body that names none. `now` is in UTC, and becomes the time at which the answer was received.

        Raises InvalidInput with the place in the body that breaks a rule.
        """
        if submitter.public:
            _refuse_what_pages_may_not_say(body, submitter.config)
        response_id = client_id or body.get("response_id") or str(uuid7())
        if submitter.public:
            response_id = namespaced(submitter.key_id, response_id)
        event: dict[str, Any] = _DEFAULTS[channel] | (without_nulls(body) if None in body.values() else body)
        scale = checked_scale(event["metric"], event["scale"])
        check_score(scale, event["score"])
        event["metric"], event["scale"] = scale.metric.value, scale.id
        event.pop("response_id", None)
        verified = True
        customer = event.pop("customer", None)
        identity = event.pop("identity", None)
        # Confidential stays so without a name: its score is hidden while there are few.
        nameless = "confidential" if identity == "confidential" else "anonymous"
        if customer is not None and identity != "anonymous":
            event["customer"] = {k: v for k, v in customer.items() if v is not None and k != "token"}
            if submitter.public and (token := customer.get("token")) is not None:
                # Whom the token names is part of the fingerprint, so that nobody without it sends the same
                # answer; when it expires is not: a retry with it, or with the next one, is the same.
                event["customer"]["token"] = self._customer_tokens.read(submitter.store, token, now=0)
            event["identity"] = identity or "identified"
        else:
            event["identity"] = nameless
        if (order := event.get("order")) is not None:
            event["order"] = without_nulls(order)
            check_currency(order.get("currency"), submitter.config.currency, "/order/currency")
        if (answered_at := event.get("answered_at")) is not None:
            event["answered_at"] = event_time(answered_at, now, "/answered_at")
        event["fingerprint"] = _fingerprint(event)
        if customer is not None and "customer" in event:
            identified, verified = self._identified(customer, submitter, now)
            if identified is not None:
                event["customer"] = identified
            else:
                del event["customer"]
                event["identity"] = nameless
        event["answered_at"] = min(event.get("answered_at", now), now)
        event["verified"] = verified
        event["store"] = submitter.store
        event["response_id"] = response_id
        event["key_id"] = submitter.key_id
        event["received_at"] = now
        return CheckedAnswer(event)

    async def accept(self, answer: CheckedAnswer, traceparent: bytes) -> str:
        """Send a checked answer, and return its amend token when all in-sync replicas have it.

        `traceparent` is the W3C trace context of whatever brought the answer. Raises NotAcknowledged
        when nobody knows whether Kafka has the answer: the client should send it again with the same
        `response_id`. A call that is cancelled leaves the same doubt.
        """
        store, response_id, now = answer["store"], answer["response_id"], answer["received_at"]
        await self._producer.send(
            _TOPIC,
            length_prefixed(store, response_id).encode(),
            record_value(answer),
            _STAMP.headers(now, traceparent),
        )
        return self._amend_tokens.issue(
            store,
            response_id,
            now=int(now.timestamp()),
            metric=answer["metric"],
            scale=answer["scale"],
            key_id=answer["key_id"],
            fingerprint=answer["fingerprint"],
        )

    def _identified(
        self, customer: CustomerIn, submitter: Submitter, now: datetime
    ) -> tuple[dict[str, Any] | None, bool]:
        """The customer with its reference, and whether the store's server has confirmed who it is.

        The server confirms it by sending the answer itself, or by a customer token. The customer is None
        if only a token names it and the token is not valid: the answer is taken all the same, as anonymous.
        Raises InvalidInput.
        """
        identified: dict[str, Any] = without_nulls(customer) if None in customer.values() else {**customer}
        verified = not submitter.public
        if (token := identified.pop("token", None)) is not None and submitter.public:
            confirmed = self._customer_tokens.read(submitter.store, token, now=now.timestamp())
            if confirmed is not None:
                claimed = (identified.get("id", confirmed.id), identified.get("email", confirmed.email))
                verified = claimed == (confirmed.id, confirmed.email)
                if verified:
                    identified |= without_nulls({"id": confirmed.id, "email": confirmed.email})
        if customer.get("token") is not None and identified.keys().isdisjoint({"id", "email"}):
            return None, True
        identified["ref"] = self._customer_refs.ref(submitter.store, identified, "/customer")
        return identified, verified


def warnings(answer: CheckedAnswer, store: Store) -> list[Warned]:
    """What of a checked answer the configuration of its store does not know. It is stored, and makes no score
    of its own: a typing error must not."""
    warned = []
    for name, value in (answer.get("segments") or {}).items():
        if (segment := store.segments.get(name)) is None:
            detail = f"is not a declared segment: no score counts by it; {_listed(store.segments)}"
        elif segment.values is None or value in segment.values:
            continue
        else:
            detail = f"is not a declared value of {name}: it counts as other; {_listed(segment.values)}"
        warned.append(Warned(pointer=f"/segments/{name}", detail=detail))
    touchpoint = answer.get("touchpoint")
    if touchpoint is not None and touchpoint not in store.touchpoints:
        detail = f"is not a declared touchpoint: it counts as other; {_listed(store.touchpoints)}"
        warned.append(Warned(pointer="/touchpoint", detail=detail))
    return warned


def _listed(declared: Collection[str]) -> str:
    """The first of what is declared, for a message."""
    more = f" and {len(declared) - _MOST_LISTED} more" if len(declared) > _MOST_LISTED else ""
    names = ", ".join(itertools.islice(declared, _MOST_LISTED))
    return f"declared: {names}{more}" if names else "none is declared"


def record_value(answer: CheckedAnswer) -> bytes:
    """The value of the Kafka record: JSON with exact decimals as strings and times in UTC."""
    return orjson.dumps(answer, str)


def _refuse_what_pages_may_not_say(body: AnswerIn, store: Store) -> None:
    if body.get("answered_at") is not None:
        raise InvalidInput("/answered_at", "is set by the server for a public key; leave it out")
    if body.get("order") is not None:
        raise InvalidInput("/order", "may not come with a public key")
    for name in body.get("segments") or ():
        if name not in store.segments:
            detail = f"is not a declared segment of this store; {_listed(store.segments)}"
            raise InvalidInput(f"/segments/{name}", detail)


def _fingerprint(content: dict[str, Any]) -> str:
    """Hex SHA-256 of the answer as the client means it, whatever the order of its fields."""
    return hashlib.sha256(orjson.dumps(content, str, orjson.OPT_SORT_KEYS)).hexdigest()
