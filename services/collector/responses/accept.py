"""From what was sent to what happened: the events that the collector emits.

`submitted` writes its event as a dictionary in the shape of `ResponseSubmitted` (a contract test holds the
two together): building the model only to print it would cost as much as reading the body.
"""

import hashlib
from datetime import datetime
from typing import Any

import orjson

from services.collector.bodies import without_nulls
from services.collector.callers import Caller
from services.collector.customers import CustomerRefs
from services.collector.domain import Fault, check_currency, check_score, checked_scale, event_time
from services.collector.responses.bodies import (
    AmendmentIn,
    AnswerIn,
    CustomerIn,
)
from services.collector.tokens import CustomerTokens
from shared.config import Store
from shared.events.responses import FollowUp, ResponseAmended

_DEFAULTS: dict[str, Any] = {
    "metric": "nps",
    "scale": None,
    "channel": "api",
    "complete": True,
    "test": False,
}


class Facts:
    """Knows how customers are referred to and vouched for."""

    def __init__(self, *, customer_refs: CustomerRefs, vouchers: CustomerTokens) -> None:
        self._customer_refs = customer_refs
        self._vouchers = vouchers

    def submitted(self, sent: AnswerIn, caller: Caller, *, response_id: str, now: datetime) -> dict[str, Any]:
        """`ResponseSubmitted` as it goes over the wire. Raises Fault."""
        if caller.public:
            _refuse_what_pages_may_not_say(sent, caller.config)
        fact: dict[str, Any] = _DEFAULTS | (without_nulls(sent) if None in sent.values() else sent)
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
            fact["order"] = without_nulls(order)
            check_currency(order.get("currency"), caller.config.currency, "/order/currency")
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
        customer: dict[str, Any] = without_nulls(sent) if None in sent.values() else {**sent}
        verified = not caller.public
        if (token := customer.pop("token", None)) is not None and caller.public:
            vouched = self._vouchers.read(caller.store, token, now=now.timestamp())
            if vouched is not None:
                said = (customer.get("id", vouched.id), customer.get("email", vouched.email))
                verified = said == (vouched.id, vouched.email)
                if verified:
                    customer |= without_nulls({"id": vouched.id, "email": vouched.email})
        if sent.get("token") is not None and customer.keys().isdisjoint({"id", "email"}):
            return None, True
        customer["ref"] = self._customer_refs.ref(caller.store, customer, "/customer")
        return customer, verified


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
    changed = without_nulls({name: sent.get(name) for name in ("score", "comment", "answers", "complete")})
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


def _fingerprint(content: dict[str, Any]) -> str:
    """Hex SHA-256 of the answer as the client means it, whatever the order of its fields."""
    return hashlib.sha256(orjson.dumps(content, str, orjson.OPT_SORT_KEYS)).hexdigest()
