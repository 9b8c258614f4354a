"""The event that the hot route writes by hand is the event that the model reads."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.callers import Caller
from services.collector.customers import CustomerRefs
from services.collector.domain import Fault
from services.collector.rates import Bucket
from services.collector.responses.accept import Facts, amended, on_the_wire
from services.collector.responses.bodies import ANSWER
from services.collector.tokens import CustomerTokens, Vouched
from shared.access import Key, Scope
from shared.config import Store
from shared.events import decode
from shared.events.envelope import Envelope, Stamp
from shared.events.responses import ResponseSubmitted

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
VOUCHERS = CustomerTokens(b"v" * 32)
FACTS = Facts(customer_refs=CustomerRefs(b"c" * 32), vouchers=VOUCHERS)
SERVER = Caller.of(
    Key("abcabcabcabc", "shop", "secret", frozenset({Scope.RESPONSES_WRITE})),
    Store(name="Shop", currency="EUR"),
    Bucket(0),
)
FULL: dict[str, Any] = {
    "metric": "ces",
    "scale": "1-5-effort",
    "score": 2,
    "comment": "Größe \N{THUMBS UP SIGN}",
    "complete": False,
    "answers": [
        {"question": "a", "value": 7.5},
        {"question": "b", "value": ["x"]},
        {"question": "c", "value": None},
    ],
    "touchpoint": "support",
    "channel": "phone",
    "answered_at": "2026-11-22T10:00:00+01:00",
    "locale": "de-DE",
    "test": True,
    "identity": "confidential",
    "customer": {"id": "c-1", "email": "a@b", "name": "Ada", "consent": False},
    "order": {"id": "o-1", "value": 0.1, "currency": "EUR"},
    "segments": {"country": "NL"},
}


def fact(body: dict[str, Any], response_id: str = "r-1") -> dict[str, Any]:
    sent = ANSWER.validate_json(json.dumps(body))
    return FACTS.submitted(sent, SERVER, response_id=response_id, now=NOW)


def read(body: dict[str, Any]) -> ResponseSubmitted:
    headers = Stamp("response.submitted.v1", source="/collector").headers(NOW, b"00-" + b"a" * 32 + b"-b-01")
    event, _ = decode(headers, on_the_wire(fact(body)), topic="feedback.responses.v1")
    assert isinstance(event, ResponseSubmitted)
    return event


class TestTheSubmittedEvent:
    def test_has_no_field_that_the_model_does_not_know(self) -> None:
        assert set(fact(FULL)) <= set(ResponseSubmitted.model_fields)
        for name in ("customer", "order"):
            inner = ResponseSubmitted.model_fields[name].annotation.__args__[0]  # type: ignore[union-attr]
            assert set(fact(FULL)[name]) <= set(inner.model_fields)

    def test_reads_back_with_every_field(self) -> None:
        event = read(FULL)
        assert (event.metric, event.scale, event.score) == ("ces", "1-5-effort", 2)
        assert event.answered_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert event.received_at == NOW
        assert event.order is not None
        assert event.order.value == Decimal("0.1")
        assert event.customer is not None
        assert event.customer.name == "Ada"
        assert [answer.value for answer in event.answers] == [7.5, ["x"], None]
        assert (event.channel, event.identity) == ("phone", "confidential")

    def test_says_its_defaults(self) -> None:
        event = read({"score": 9})
        assert event == ResponseSubmitted(
            store="shop",
            response_id="r-1",
            received_at=NOW,
            key_id="abcabcabcabc",
            fingerprint=event.fingerprint,
            metric="nps",
            scale="0-10",
            score=9,
            answered_at=NOW,
        )

    def test_holds_exact_amounts(self) -> None:
        for value in (b"0.1", b"59.90", b"999999999999.9999", b'"0.0001"'):
            sent = ANSWER.validate_json(b'{"score": 9, "order": {"value": %s}}' % value)
            written = orjson.loads(on_the_wire(FACTS.submitted(sent, SERVER, response_id="r", now=NOW)))
            assert Decimal(written["order"]["value"]) == Decimal(value.decode().strip('"'))


class TestTheFingerprint:
    def test_does_not_depend_on_the_order_of_fields_or_the_time_of_arrival(self) -> None:
        later = FACTS.submitted(
            ANSWER.validate_json(json.dumps(dict(reversed(FULL.items())))),
            SERVER,
            response_id="r-1",
            now=NOW.replace(minute=30),
        )
        assert later["fingerprint"] == fact(FULL)["fingerprint"]

    def test_of_a_clock_ahead_is_the_same_at_the_next_try(self) -> None:
        body = {"score": 9, "answered_at": "2026-11-22T12:01:00Z"}
        sent = ANSWER.validate_json(json.dumps(body))
        again = FACTS.submitted(sent, SERVER, response_id="r-1", now=NOW.replace(minute=2))
        assert again["fingerprint"] == fact(body)["fingerprint"]

    @given(st.sampled_from(sorted(set(FULL) - {"scale"})))
    def test_changes_with_every_field(self, name: str) -> None:
        changes: dict[str, Any] = {
            "metric": {"metric": "csat", "scale": "1-5"},
            "score": {"score": 3},
            "complete": {"complete": True},
            "test": {"test": False},
            "channel": {"channel": "web"},
            "identity": {"identity": "identified"},
            "customer": {"customer": {"id": "c-2"}},
            "order": {"order": {"id": "o-2"}},
            "segments": {"segments": {"country": "DE"}},
            "answers": {"answers": []},
            "answered_at": {"answered_at": "2026-11-22T10:00:01+01:00"},
        }
        changed = FULL | changes.get(name, {name: "other"})
        assert fact(changed)["fingerprint"] != fact(FULL)["fingerprint"]


class TestACustomer:
    def test_keeps_the_same_reference_under_one_id(self) -> None:
        first = fact({"score": 9, "customer": {"id": "c-1"}})["customer"]["ref"]
        second = fact({"score": 2, "customer": {"id": "c-1", "email": "x@y"}})["customer"]["ref"]
        assert first == second

    def test_without_a_name_is_refused(self) -> None:
        with pytest.raises(Fault) as refused:
            fact({"score": 9, "customer": {"name": "Ada"}})
        assert refused.value.pointer == "/customer"

    def test_who_is_anonymous_leaves_no_trace(self) -> None:
        written = on_the_wire(fact({"score": 9, "identity": "anonymous", "customer": {"id": "c-secret"}}))
        assert b"c-secret" not in written
        assert b"customer" not in written


class TestAnAmendment:
    def test_needs_something_to_amend(self) -> None:
        with pytest.raises(Fault):
            amended({"revision": 2}, store="shop", response_id="r", key_id="k", scale=("nps", None), now=NOW)

    def test_carries_only_what_changed(self) -> None:
        event = amended({"score": 3}, store="shop", response_id="r", key_id="k", scale=("nps", None), now=NOW)
        assert set(json.loads(event.body())) == {
            "store",
            "response_id",
            "received_at",
            "key_id",
            "revision",
            "score",
        }


class TestTheStamp:
    def test_reads_as_an_envelope(self) -> None:
        trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        envelope = Envelope.read(Stamp("response.submitted.v1", source="/collector").headers(NOW, trace))
        assert (envelope.type, envelope.source) == ("response.submitted.v1", "/collector")
        assert datetime.fromisoformat(envelope.time) == NOW
        assert envelope.correlation_id == "0af7651916cd43dd8448eb211c80319c"
        names = {name for name, _ in Envelope.of("x", source="/y").headers()}
        assert {name for name, _ in Stamp("x", source="/y").headers(NOW, trace)} == names


class TestAVouchedCustomer:
    def page(self, body: dict[str, Any], now: datetime) -> dict[str, Any]:
        caller = Caller.of(
            Key("pubpubpubpub", "shop", "public", frozenset()), Store(name="Shop", currency="EUR"), Bucket(0)
        )
        sent = ANSWER.validate_json(json.dumps(body))
        return FACTS.submitted(sent, caller, response_id="r-1", now=now)

    def test_has_the_same_fingerprint_before_and_after_the_token_ran_out(self) -> None:
        """A retry across the expiry is the same answer, not a conflict."""
        ends = NOW + timedelta(seconds=60)
        token = VOUCHERS.issue("shop", Vouched("c-1", None), expires_at=int(ends.timestamp()))
        body = {"score": 9, "customer": {"token": token}}
        before, after = self.page(body, NOW), self.page(body, ends + timedelta(seconds=60))
        assert before["fingerprint"] == after["fingerprint"]
        assert (before["identity"], after["identity"]) == ("identified", "anonymous")
        assert before["verified"]
        assert "customer" not in after

    def test_that_names_itself_is_claimed_once_the_token_ran_out(self) -> None:
        body = {"score": 9, "customer": {"id": "c-1", "token": "cst_x"}}
        assert self.page(body, NOW)["verified"] is False


class TestNames:
    def test_of_declared_segments_and_touchpoints_may_be_sent(self) -> None:
        """One pattern for what is declared and what is sent."""
        store = Store(name="Shop", segments={"product-line": {}}, touchpoints=("post-delivery",))
        body = {"score": 9, "segments": {"product-line": "x"}, "touchpoint": store.touchpoints[0]}
        assert read(body).touchpoint == "post-delivery"
