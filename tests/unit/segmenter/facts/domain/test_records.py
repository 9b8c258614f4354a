"""Records and contacts merge to the same whatever the order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from services.segmenter.facts.domain.contact import Contact
from services.segmenter.facts.domain.records import (
    AnswerRecord,
    CaseRecord,
    Engaged,
    EngagementRecord,
    Kind,
    OrderRecord,
    Outcome,
    Placed,
    Refunded,
    Rescored,
    Submitted,
)
from services.segmenter.tiers.domain.programme import Programme
from services.segmenter.tiers.domain.ruling import facts_of, in_minor
from services.segmenter.tiers.domain.timeline import Case, Refund
from shared.feedback.revisions import Revision

DAY = datetime(2024, 5, 1, tzinfo=UTC)
SAID = Submitted("2", "body", "asha", "nps", "0-10", 9, DAY, None, test=False, verified=True)
EUR = Programme(currency="EUR", version="1")


def in_every_order(record: Any, *steps: Any) -> Any:
    """What the steps make of the record: the same in every order, and with every step twice."""
    results = set()
    for order in permutations([*steps, *steps[:1]]):
        now = record
        for step in order:
            now, _ = step(now)
        results.add(repr(now))
    assert len(results) == 1
    return now


class TestAnswerRecord:
    def test_the_lowest_id_counts_and_the_rival_is_remembered(self) -> None:
        rival = replace(SAID, ce_id="1", fingerprint="other", score=0)
        found = in_every_order(
            AnswerRecord(), lambda r: r.submitted(SAID), lambda r: r.submitted(rival), lambda r: r.retract()
        )
        assert (found.said, found.conflict, found.retracted) == (rival, True, True)

    def test_the_highest_revision_counts_then_the_highest_id(self) -> None:
        found = in_every_order(
            AnswerRecord(),
            lambda r: r.submitted(SAID),
            lambda r: r.amended([Revision("score", 1, "9", 1)]),
            lambda r: r.amended([Revision("score", 2, "3", 2)]),
            lambda r: r.amended([Revision("score", 2, "4", 3)]),
        )
        assert found.score == 3

    def test_an_amendment_without_its_original_has_no_score(self) -> None:
        record, _ = AnswerRecord().amended([Revision("score", 1, "9", 1)])
        assert record.score is None

    def test_a_score_that_the_scale_lacks_is_refused(self) -> None:
        found = in_every_order(
            AnswerRecord(),
            lambda r: r.submitted(SAID),
            lambda r: r.amended([Revision("score", 1, "8", 4)]),
            lambda r: r.amended([Revision("score", 2, "9", 11)]),
        )
        assert (found.score, found.refused) == (4, 1)
        assert found.amended([Revision("score", 3, "9", 12)])[1] is Outcome.REFUSED

    @pytest.mark.parametrize("unknown", [{"metric": "ves"}, {"scale": "0-1000"}])
    def test_an_answer_of_a_later_release_is_kept(self, unknown: dict[str, str]) -> None:
        said = replace(SAID, **unknown)  # type: ignore[arg-type]
        found = in_every_order(
            AnswerRecord(), lambda r: r.submitted(said), lambda r: r.amended([Revision("score", 1, "9", 1)])
        )
        assert (found.said, found.score, found.refused) == (said, 9, 1)
        assert len(found.revisions) == 1  # counts when this is the later release

    def test_an_amended_score_that_the_release_before_stored_counts(self) -> None:
        older = AnswerRecord(said=SAID, rescored=Rescored(2, "9", 3))
        assert older.score == 3
        assert older.amended([Revision("score", 1, "a", 8)])[0].score == 3
        assert older.amended([Revision("score", 3, "a", 8)])[0].score == 8
        assert older.submitted(replace(SAID, ce_id="1"))[0].score == 3


class TestOrderRecord:
    PLACED = Placed("1", "asha", DAY, Decimal("10.00"), "EUR")

    def test_refunds_wait_for_their_order(self) -> None:
        refund = Refunded("5", DAY, Decimal(4), "EUR")
        found = in_every_order(
            OrderRecord(),
            lambda r: r.refund("b", refund),
            lambda r: r.refund("a", refund),
            lambda r: r.place(self.PLACED),
        )
        assert list(found.refunds) == ["a", "b"]
        parked = replace(found, placed=None)
        assert facts_of({(Kind.ORDER, "o"): parked}, EUR) == ([], [])
        assert len(facts_of({(Kind.ORDER, "o"): found}, EUR)[0]) == 3

    def test_a_refund_in_another_currency_takes_nothing(self) -> None:
        record, _ = OrderRecord(placed=self.PLACED).refund("a", Refunded("5", DAY, Decimal(4), "USD"))
        facts, _ = facts_of({(Kind.ORDER, "o"): record}, EUR)
        assert not any(isinstance(fact, Refund) for fact in facts)

    def test_the_same_amount_written_otherwise_is_a_duplicate(self) -> None:
        again = replace(self.PLACED, ce_id="2", value=Decimal("10"))
        assert OrderRecord(placed=self.PLACED).place(again)[1] is Outcome.DUPLICATE

    @pytest.mark.parametrize(
        ("value", "minor"), [("0.005", "0.5"), ("499.9999", "49999.99"), ("19.99", "1999")]
    )
    def test_fractions_of_a_cent_are_not_rounded(self, value: str, minor: str) -> None:
        assert in_minor(Decimal(value), EUR) == Decimal(minor)


class TestEngagementRecord:
    def test_an_unknown_kind_is_kept_and_gives_nothing(self) -> None:
        record = EngagementRecord(said=Engaged("1", "asha", "word_of_mouth", DAY))
        assert facts_of({(Kind.ENGAGEMENT, "e"): record}, EUR) == ([], [])


class TestCaseRecord:
    def test_opened_closed_and_opened_again_is_two_spells(self) -> None:
        days = [DAY + timedelta(days=index) for index in range(4)]
        found = in_every_order(
            CaseRecord(),
            lambda r: r.open("asha", days[0]),
            lambda r: r.close(None, days[1]),
            lambda r: r.open("asha", days[2]),
        )
        assert (found.ref, found.spells()) == ("asha", [(days[0], days[1]), (days[2], None)])
        facts, _ = facts_of({(Kind.CASE, "c"): found}, EUR)
        assert facts == [Case("c/0", days[0], days[1]), Case("c/1", days[2], None)]

    def test_a_closing_alone_is_no_spell(self) -> None:
        record, _ = CaseRecord().close("asha", DAY)
        assert record.spells() == []


class TestContact:
    def named(self, hour: int, ce_id: str = "1", **said: Any) -> Contact:
        known = {"customer_id": "c", "email": None, "name": None, "consent": None, **said}
        return Contact.named(**known, at=DAY + timedelta(hours=hour), ce_id=ce_id)

    def test_each_field_is_what_was_said_of_it_last(self) -> None:
        said = [
            self.named(1, email="old@example.com", name="Asha", consent=True),
            self.named(2, email="new@example.com"),
            self.named(3, consent=False),
            Contact(),
        ]
        results = set()
        for order in permutations(said):
            now = Contact()
            for one in order:
                now = now.merged(one)
            results.add(now)
        (found,) = results
        assert (found.email, found.name, found.consent) == ("new@example.com", "Asha", False)

    def test_at_one_instant_the_highest_id_is_last(self) -> None:
        one, two = self.named(1, "1", name="A"), self.named(1, "2", name="B")
        assert one.merged(two) == two.merged(one)
        assert one.merged(two).name == "B"
