"""From what was sent to what happened: the events that the collector emits.

`submitted` writes its event as a dictionary in the shape of `ResponseSubmitted` (a contract test holds the
two together): building the model only to print it would cost as much as reading the body.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from services.collector.callers import Caller
from services.collector.domain import Fault, check_score, checked_scale, event_time
from services.collector.responses.bodies import (
    AmendmentIn,
    AnswerIn,
    BuyerIn,
    CustomerIn,
    EngagementIn,
    ErasureIn,
)
from services.collector.tokens import CustomerTokens
from shared.config import Store
from shared.events.erasures import CustomerErased
from shared.events.orders import EngagementRecorded, OrderDelivered, OrderPlaced, OrderRefunded
from shared.events.responses import Customer, FollowUp, ResponseAmended
from shared.feedback.identity import customer_ref, customer_refs

Body = Mapping[str, Any]

_DEFAULTS: dict[str, Any] = {
    "metric": "nps",
    "scale": None,
    "channel": "api",
    "complete": True,
    "test": False,
}


class Facts:
    """Knows the secrets by which customers are named and vouched for."""

    def __init__(self, *, customers: bytes, vouchers: CustomerTokens) -> None:
        self._customers = customers
        self._vouchers = vouchers

    def submitted(self, sent: AnswerIn, caller: Caller, *, response_id: str, now: datetime) -> dict[str, Any]:
        """`ResponseSubmitted` as it goes over the wire. Raises Fault."""
        if caller.public:
            _refuse_what_pages_may_not_say(sent, caller.config)
        fact: dict[str, Any] = _DEFAULTS | (_without_nulls(sent) if None in sent.values() else sent)
        scale = checked_scale(fact["metric"], fact["scale"])
        check_score(scale, fact["score"])
        fact["metric"], fact["scale"] = scale.metric.value, scale.id
        fact.pop("response_id", None)
        verified = True
        customer = fact.pop("customer", None)
        identity = fact.pop("identity", None)
        if customer is not None and identity != "anonymous":
            # As it was sent, for the fingerprint: what a token says ends with the token.
            fact["customer"] = {k: said for k, said in customer.items() if said is not None and k != "token"}
            fact["identity"] = identity or "identified"
        else:
            fact["identity"] = "anonymous"
        if (order := fact.get("order")) is not None:
            fact["order"] = _without_nulls(order)
            _check_currency(order.get("currency"), caller.config, "/order/currency")
        if (answered_at := fact.get("answered_at")) is not None:
            fact["answered_at"] = event_time(answered_at, now, "/answered_at")
        fact["fingerprint"] = _fingerprint(fact)
        if customer is not None and "customer" in fact:
            named, verified = self._named(customer, caller, now)
            if named is not None:
                fact["customer"] = named
            else:
                del fact["customer"]
                fact["identity"] = "anonymous"
        fact["answered_at"] = min(fact.get("answered_at", now), now)
        fact["verified"] = verified
        fact["store"] = caller.store
        fact["response_id"] = response_id
        fact["key_id"] = caller.key_id
        fact["received_at"] = now
        return fact

    def _named(self, sent: CustomerIn, caller: Caller, now: datetime) -> tuple[dict[str, Any] | None, bool]:
        """The customer, and whether the store's server vouches for it: its key does, or its token.

        None for one that only a token names which says nothing (any more): no answer is lost for it.
        """
        customer: dict[str, Any] = _without_nulls(sent) if None in sent.values() else {**sent}
        verified = not caller.public
        if (token := customer.pop("token", None)) is not None and caller.public:
            vouched = self._vouchers.read(caller.store, token, now=now.timestamp())
            if vouched is not None:
                said = (customer.get("id", vouched.id), customer.get("email", vouched.email))
                verified = said == (vouched.id, vouched.email)
                if verified:
                    customer |= _without_nulls({"id": vouched.id, "email": vouched.email})
        if sent.get("token") is not None and customer.keys().isdisjoint({"id", "email"}):
            return None, True
        customer["ref"] = self._ref(caller.store, customer, "/customer")
        return customer, verified

    def _ref(self, store: str, customer: Body, pointer: str) -> str:
        ref = customer_ref(
            self._customers, store, customer_id=customer.get("id"), email=customer.get("email")
        )
        if ref is None:
            raise Fault(pointer, "needs an id or an e-mail that is not blank")
        return ref

    def _buyer(self, store: str, sent: BuyerIn) -> Customer:
        return Customer(ref=self._ref(store, sent, "/customer"), **_without_nulls(sent))

    def ordered(
        self, sent: Body, caller: Caller, *, now: datetime
    ) -> OrderPlaced | OrderDelivered | OrderRefunded:
        """One of the three events of an order. Raises Fault."""
        common: dict[str, Any] = {
            "store": caller.store,
            "order_id": sent["id"],
            "received_at": now,
            "key_id": caller.key_id,
        }
        if sent["type"] == "delivered":
            delivered_at = min(event_time(sent["delivered_at"], now, "/delivered_at"), now)
            return OrderDelivered(delivered_at=delivered_at, **common)
        _check_currency(sent["currency"], caller.config, "/currency")
        common["currency"] = sent["currency"]
        if sent["type"] == "placed":
            return OrderPlaced(
                placed_at=min(event_time(sent["placed_at"], now, "/placed_at"), now),
                value=sent["value"],
                customer=self._buyer(caller.store, sent["customer"]),
                **common,
            )
        return OrderRefunded(
            refund_id=sent["refund_id"],
            refunded_at=min(event_time(sent["refunded_at"], now, "/refunded_at"), now),
            amount=sent["amount"],
            **common,
        )

    def engaged(
        self, sent: EngagementIn, caller: Caller, *, engagement_id: str, now: datetime
    ) -> EngagementRecorded:
        """Raises Fault."""
        return EngagementRecorded(
            store=caller.store,
            engagement_id=engagement_id,
            kind=sent["kind"],
            engaged_at=min(event_time(sent["engaged_at"], now, "/engaged_at"), now),
            received_at=now,
            customer=self._buyer(caller.store, sent["customer"]),
            key_id=caller.key_id,
        )

    def erased(self, sent: ErasureIn, caller: Caller, *, erasure_id: str, now: datetime) -> CustomerErased:
        """Raises Fault."""
        named = sent["customer"]
        refs = customer_refs(
            self._customers, caller.store, customer_id=named.get("id"), email=named.get("email")
        )
        if not refs:
            raise Fault("/customer", "needs an id or an e-mail that is not blank")
        return CustomerErased(
            store=caller.store, customer_ref=refs[0], also=refs[1:], erased_at=now, erasure_id=erasure_id
        )


def amended(
    sent: AmendmentIn,
    *,
    store: str,
    response_id: str,
    key_id: str,
    scale: tuple[str, str | None],
    now: datetime,
) -> ResponseAmended:
    """`scale`: metric and scale id of the answer, to check a new score against. Raises Fault."""
    changed = _without_nulls({name: sent.get(name) for name in ("score", "comment", "answers", "complete")})
    if not changed:
        raise Fault("", "needs at least one of score, comment, answers and complete")
    if "score" in changed:
        check_score(checked_scale(*scale), changed["score"])
    if "answers" in changed:
        changed["answers"] = tuple(FollowUp(**answer) for answer in changed["answers"])
    return ResponseAmended(
        store=store,
        response_id=response_id,
        received_at=now,
        key_id=key_id,
        revision=sent.get("revision") or 1,
        **changed,
    )


def on_the_wire(fact: dict[str, Any]) -> bytes:
    """The event's body: exact decimals as strings, times in UTC."""
    return orjson.dumps(fact, str)


def _refuse_what_pages_may_not_say(sent: AnswerIn, store: Store) -> None:
    if sent.get("answered_at") is not None:
        raise Fault("/answered_at", "is set by the server for a public key; leave it out")
    if sent.get("order") is not None:
        raise Fault("/order", "may not come with a public key")
    for name in sent.get("segments") or ():
        if name not in store.segments:
            raise Fault(f"/segments/{name}", "is not a declared segment of this store")


def _check_currency(currency: str | None, store: Store, pointer: str) -> None:
    if currency is not None and currency != store.currency:
        raise Fault(pointer, f"must be the store's currency, {store.currency}")


def _fingerprint(content: dict[str, Any]) -> str:
    """Hex SHA-256 of the answer as the client means it, whatever the order of its fields."""
    return hashlib.sha256(orjson.dumps(content, str, orjson.OPT_SORT_KEYS)).hexdigest()


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
