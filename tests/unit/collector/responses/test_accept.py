"""How an answer gets in, without HTTP: what is refused, what is written, and when it is confirmed."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.callers import Caller
from services.collector.domain import CustomerRefs, InvalidInput
from services.collector.responses.accept import AnswerAcceptor, CheckedAnswer, record_value
from services.collector.responses.bodies import ANSWER
from services.collector.tokens import AmendTokens, CustomerIdentity, CustomerTokens
from shared.access import Key, Scope
from shared.config import Store
from shared.events import decode
from shared.events.responses import ResponseSubmitted
from shared.kafka import NotAcknowledged

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SHOP = Store(name="Shop", currency="EUR", segments={"country": {}})
SERVER = Caller.of(Key("abcabcabcabc", "shop", "secret", frozenset({Scope.RESPONSES_WRITE})), SHOP)
PAGE = Caller.of(Key("pubpubpubpub", "shop", "public", frozenset()), SHOP)
CUSTOMER_TOKENS = CustomerTokens(b"v" * 32)
AMEND_TOKENS = AmendTokens(b"a" * 32)


class Log:
    """A producer that keeps what it was given, or does not confirm it."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.confirms = confirms
        self.records: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = []

    async def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        if not self.confirms:
            raise NotAcknowledged("no leader")
        self.records.append((topic, key, value, headers))

    def event(self) -> ResponseSubmitted:
        """The only event that was sent."""
        [(topic, _, value, headers)] = self.records
        event, _ = decode(headers, value, topic=topic)
        assert isinstance(event, ResponseSubmitted)
        return event


def acceptor(producer: Any = None) -> AnswerAcceptor:
    return AnswerAcceptor(
        customer_refs=CustomerRefs(b"c" * 32),
        customer_tokens=CUSTOMER_TOKENS,
        amend_tokens=AMEND_TOKENS,
        producer=producer or Log(),
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


def check(
    body: dict[str, Any] | bytes, submitter: Caller = SERVER, now: datetime = NOW, **more: Any
) -> CheckedAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body)
    return acceptor().check(ANSWER.validate_json(raw), submitter, now=now, **more)


async def accept(body: dict[str, Any], submitter: Caller = SERVER) -> tuple[ResponseSubmitted, str]:
    """The event as it is read from the log, and the amend token."""
    log = Log()
    token = await acceptor(log).accept(check(body, submitter), TRACE)
    return log.event(), token


class TestAnAnswerOfAServer:
    async def test_is_in_the_log_under_its_own_id(self) -> None:
        log = Log()
        answer = check({"score": 9, "response_id": "r-1"})
        await acceptor(log).accept(answer, TRACE)
        [(topic, key, _, headers)] = log.records
        assert answer["response_id"] == "r-1"
        assert (topic, key) == ("feedback.responses.v1", b"4:shop3:r-1")
        assert dict(headers)["ce_type"] == b"response.submitted.v1"
        assert dict(headers)["ce_source"] == b"/collector"
        assert dict(headers)["traceparent"] == TRACE
        assert (log.event().store, log.event().key_id) == ("shop", "abcabcabcabc")
        assert log.event().verified

    async def test_gets_a_token_that_amends_it(self) -> None:
        _, token = await accept({"score": 5, "metric": "csat", "response_id": "r-1"})
        amendable = AMEND_TOKENS.read(token, now=NOW.timestamp())
        assert amendable is not None
        assert (amendable.store, amendable.response_id) == ("shop", "r-1")
        assert (amendable.metric, amendable.scale, amendable.key_id) == ("csat", "1-5", "abcabcabcabc")

    def test_gets_an_id_when_the_client_has_none(self) -> None:
        assert UUID(check({"score": 9})["response_id"]).version == 7

    def test_takes_the_id_that_came_beside_the_body(self) -> None:
        assert check({"score": 9}, client_id="r-2")["response_id"] == "r-2"

    def test_takes_the_channel_of_its_body_before_that_of_whoever_brought_it(self) -> None:
        assert check({"score": 9})["channel"] == "api"
        assert check({"score": 9}, channel="link")["channel"] == "link"
        assert check({"score": 9, "channel": "kiosk"}, channel="link")["channel"] == "kiosk"


class TestAnAnswerOfAPage:
    async def test_stands_in_the_name_space_of_its_key(self) -> None:
        event, token = await accept({"score": 9, "response_id": "r-1"}, PAGE)
        assert event.response_id == "pubpubpubpub:r-1"
        amendable = AMEND_TOKENS.read(token, now=NOW.timestamp())
        assert amendable is not None
        assert amendable.response_id == event.response_id

    async def test_only_claims_its_customer(self) -> None:
        event, _ = await accept({"score": 9, "customer": {"id": "c-1"}}, PAGE)
        assert not event.verified

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"answered_at": "2026-11-22T10:00:00Z"}, "/answered_at"),
            ({"order": {"id": "o-1"}}, "/order"),
            ({"segments": {"shoe_size": "42"}}, "/segments/shoe_size"),
        ],
    )
    def test_may_not_say_what_the_store_knows(self, body: dict[str, Any], pointer: str) -> None:
        check({"score": 9, **body})
        with pytest.raises(InvalidInput) as refused:
            check({"score": 9, **body}, PAGE)
        assert refused.value.pointer == pointer


class TestABadAnswer:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"score": 6, "metric": "csat"}, "/score"),
            ({"score": 9, "scale": "1-5"}, "/scale"),
            ({"score": 9, "answered_at": "2026-11-23T12:00:00Z"}, "/answered_at"),
            ({"score": 9, "order": {"value": 1, "currency": "USD"}}, "/order/currency"),
            ({"score": 9, "customer": {"name": "Ada"}}, "/customer"),
        ],
    )
    def test_is_refused_with_its_place_in_the_body(self, body: dict[str, Any], pointer: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            check(body)
        assert refused.value.pointer == pointer

    def test_changes_nothing_of_what_was_sent(self) -> None:
        body = ANSWER.validate_json(json.dumps(FULL))
        acceptor().check(body, SERVER, now=NOW)
        assert body == ANSWER.validate_json(json.dumps(FULL))


class TestKafkaThatDoesNotConfirm:
    async def test_leaves_the_caller_with_the_id_to_try_again_with(self) -> None:
        answer = check({"score": 9})
        with pytest.raises(NotAcknowledged):
            await acceptor(Log(confirms=False)).accept(answer, TRACE)
        log = Log()
        await acceptor(log).accept(answer, TRACE)
        assert log.event().response_id == answer["response_id"]


class TestManyAnswers:
    async def test_have_a_result_each(self) -> None:
        """As a batch does it: a bad line stops no other, and all that are good travel at once."""
        log = Log()
        answers = acceptor(log)
        good, bad = [], []
        for number in range(1000):
            body = {"score": number % 12, "response_id": f"r-{number}"}
            try:
                good.append(answers.check(body, SERVER, now=NOW))
            except InvalidInput:
                bad.append(number)
        tokens = await asyncio.gather(*(answers.accept(answer, TRACE) for answer in good))
        assert bad == list(range(11, 1000, 12))
        assert len(log.records) == len(set(tokens)) == 1000 - len(bad)

    def test_that_are_only_checked_leave_no_record(self) -> None:
        log = Log()
        acceptor(log).check({"score": 9}, SERVER, now=NOW)
        assert log.records == []


class TestTheModule:
    def test_loads_nothing_of_http(self) -> None:
        code = (
            "import sys, services.collector.responses.accept\n"
            "print([name for name in ('fastapi', 'starlette', 'uvicorn') if name in sys.modules])"
        )
        loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert loaded.stdout.strip() == "[]"


class TestTheSubmittedEvent:
    def test_has_no_field_that_the_model_does_not_know(self) -> None:
        assert set(check(FULL)) <= set(ResponseSubmitted.model_fields)
        for name in ("customer", "order"):
            inner = ResponseSubmitted.model_fields[name].annotation.__args__[0]  # type: ignore[union-attr]
            assert set(check(FULL)[name]) <= set(inner.model_fields)

    async def test_reads_back_with_every_field(self) -> None:
        event, _ = await accept(FULL)
        assert (event.metric, event.scale, event.score) == ("ces", "1-5-effort", 2)
        assert event.answered_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert event.received_at == NOW
        assert event.order is not None
        assert event.order.value == Decimal("0.1")
        assert event.customer is not None
        assert event.customer.name == "Ada"
        assert [answer.value for answer in event.answers] == [7.5, ["x"], None]
        assert (event.channel, event.identity) == ("phone", "confidential")

    async def test_says_its_defaults(self) -> None:
        event, _ = await accept({"score": 9, "response_id": "r-1"})
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
            answer = check(b'{"score": 9, "order": {"value": %s}}' % value)
            sent = orjson.loads(record_value(answer))
            assert Decimal(sent["order"]["value"]) == Decimal(value.decode().strip('"'))


class TestTheFingerprint:
    def test_does_not_depend_on_the_order_of_fields_or_the_time_of_arrival(self) -> None:
        later = check(dict(reversed(FULL.items())), now=NOW.replace(minute=30))
        assert later["fingerprint"] == check(FULL)["fingerprint"]

    def test_of_a_clock_ahead_is_the_same_at_the_next_try(self) -> None:
        body = {"score": 9, "answered_at": "2026-11-22T12:01:00Z"}
        again = check(body, now=NOW.replace(minute=2))
        assert again["fingerprint"] == check(body)["fingerprint"]

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
        assert check(changed)["fingerprint"] != check(FULL)["fingerprint"]


class TestACustomer:
    def test_keeps_the_same_reference_under_one_id(self) -> None:
        first = check({"score": 9, "customer": {"id": "c-1"}})["customer"]["ref"]
        second = check({"score": 2, "customer": {"id": "c-1", "email": "x@y"}})["customer"]["ref"]
        assert first == second

    def test_without_a_name_is_refused(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            check({"score": 9, "customer": {"name": "Ada"}})
        assert refused.value.pointer == "/customer"

    def test_who_is_anonymous_leaves_no_trace(self) -> None:
        answer = check({"score": 9, "identity": "anonymous", "customer": {"id": "c-secret"}})
        assert b"c-secret" not in record_value(answer)
        assert b"customer" not in record_value(answer)


class TestAVouchedCustomer:
    def test_is_part_of_the_fingerprint(self) -> None:
        """Else the amend token of anybody who sends the same score under the same id would be theirs too."""
        until = int(NOW.timestamp())
        tokens = {
            name: CUSTOMER_TOKENS.issue("shop", CustomerIdentity(name, None), expires_at=until)
            for name in ("alice", "bob")
        }
        sent = [
            {"token": tokens["alice"]},
            {"token": tokens["bob"]},
            {"token": "cst_bad"},
            {"id": "alice", "token": tokens["alice"]},
            {"id": "alice"},
        ]
        fingerprints = {check({"score": 9, "customer": customer}, PAGE)["fingerprint"] for customer in sent}
        assert len(fingerprints) == len(sent)

    def test_has_the_same_fingerprint_before_and_after_the_token_ran_out(self) -> None:
        """A retry across the expiry is the same answer, not a conflict."""
        ends = NOW + timedelta(seconds=60)
        token = CUSTOMER_TOKENS.issue("shop", CustomerIdentity("c-1", None), expires_at=int(ends.timestamp()))
        body = {"score": 9, "customer": {"token": token}}
        before, after = check(body, PAGE), check(body, PAGE, ends + timedelta(seconds=60))
        assert before["fingerprint"] == after["fingerprint"]
        assert (before["identity"], after["identity"]) == ("identified", "anonymous")
        assert before["verified"]
        assert "customer" not in after

    def test_that_names_itself_is_claimed_once_the_token_ran_out(self) -> None:
        body = {"score": 9, "customer": {"id": "c-1", "token": "cst_x"}}
        assert check(body, PAGE)["verified"] is False


class TestNames:
    def test_of_declared_segments_and_touchpoints_may_be_sent(self) -> None:
        """One pattern for what is declared and what is sent."""
        store = Store(name="Shop", segments={"product-line": {}}, touchpoints=("post-delivery",))
        body = {"score": 9, "segments": {"product-line": "x"}, "touchpoint": store.touchpoints[0]}
        page = Caller.of(PAGE.key, store)
        assert check(body, page)["touchpoint"] == "post-delivery"
