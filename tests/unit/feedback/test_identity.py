import hmac
import unicodedata
from typing import Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.feedback import customer_ref, length_prefixed
from shared.feedback.identity import (
    customer_refs,
    is_erased,
    normal_email,
    order_ref,
    respondent,
    surrogate,
    with_claims,
)

SECRET = b"s" * 32
Form: TypeAlias = Literal["NFC", "NFD"]


class TestLengthPrefixed:
    def test_keeps_parts_apart(self) -> None:
        assert length_prefixed("a:b", "c") == "3:a:b1:c"
        assert length_prefixed("a:b", "c") != length_prefixed("a", "b:c")
        assert length_prefixed("ab") != length_prefixed("ab", "")

    @given(st.lists(st.text()), st.lists(st.text()))
    def test_is_one_to_one(self, one: list[str], other: list[str]) -> None:
        assert (length_prefixed(*one) == length_prefixed(*other)) == (one == other)


class TestCustomerRef:
    def test_is_thirty_two_hex_digits_that_never_change(self) -> None:
        # printf '%s' '2:id4:demo3:c-1' | openssl dgst -sha256 -hmac "$(printf 's%.0s' $(seq 32))"
        assert customer_ref(SECRET, "demo", customer_id="c-1") == "d42e6273e92d23adf8aa1100697ede06"

    def test_the_id_wins_over_the_e_mail(self) -> None:
        by_id = customer_ref(SECRET, "demo", customer_id="c-1")
        assert customer_ref(SECRET, "demo", customer_id="c-1", email="a@b.example") == by_id
        assert customer_ref(SECRET, "demo", customer_id=" ", email="a@b.example") == customer_ref(
            SECRET, "demo", email="a@b.example"
        )

    def test_an_e_mail_counts_without_space_and_case(self) -> None:
        refs = {customer_ref(SECRET, "demo", email=e) for e in ("Ann@B.example", " ann@b.EXAMPLE\n")}
        assert len(refs) == 1

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("Straße@b.example", "strasse@b.example", False),
            ("jose\u0301@b.example", "jos\u00e9@b.example", True),
            ("JOSE\u0301@B.example\u00a0", "jos\u00e9@b.example", True),
            ("ÅSA@b.example", "a\u030asa@B.EXAMPLE", True),
        ],
    )
    def test_an_e_mail_counts_in_one_form(self, one: str, other: str, same: bool) -> None:
        assert (customer_ref(SECRET, "demo", email=one) == customer_ref(SECRET, "demo", email=other)) is same
        assert (normal_email(one) == normal_email(other)) is same

    @given(st.text())
    def test_the_form_of_an_e_mail_is_its_own(self, address: str) -> None:
        assert normal_email(normal_email(address)) == normal_email(address)

    def test_an_id_counts_without_the_blanks_around_it(self) -> None:
        refs = {customer_ref(SECRET, "demo", customer_id=text) for text in ("c-1", " c-1\u00a0")}
        assert len(refs) == 1

    def test_an_id_keeps_its_case(self) -> None:
        assert customer_ref(SECRET, "demo", customer_id="A") != customer_ref(SECRET, "demo", customer_id="a")

    def test_an_id_that_reads_like_an_e_mail_is_somebody_else(self) -> None:
        assert customer_ref(SECRET, "demo", customer_id="a@b.example") != customer_ref(
            SECRET, "demo", email="a@b.example"
        )

    def test_differs_by_store_and_by_secret(self) -> None:
        refs = [
            customer_ref(SECRET, "demo", customer_id="c-1"),
            customer_ref(SECRET, "other", customer_id="c-1"),
            customer_ref(b"t" * 32, "demo", customer_id="c-1"),
        ]
        assert len(set(refs)) == 3

    @pytest.mark.parametrize("nobody", [{}, {"email": ""}, {"email": "  "}, {"customer_id": ""}])
    def test_nobody_has_no_reference(self, nobody: dict[str, str]) -> None:
        assert customer_ref(SECRET, "demo", **nobody) is None

    def test_needs_a_secret(self) -> None:
        with pytest.raises(ValueError, match="secret"):
            customer_ref(b"", "demo", customer_id="c-1")


class TestThoseWhoWereErased:
    def test_have_a_surrogate_that_is_known_as_one_and_never_the_same(self) -> None:
        assert is_erased(surrogate())
        assert surrogate() != surrogate()
        assert not is_erased(customer_ref(SECRET, "demo", customer_id="erased:"))
        assert not is_erased(None)

    def test_may_have_two_names_and_each_has_its_reference(self) -> None:
        both = customer_refs(SECRET, "demo", customer_id="c-1", email="A@b.example")
        by_id = customer_ref(SECRET, "demo", customer_id="c-1")
        assert both == (by_id, customer_ref(SECRET, "demo", email="a@b.example"))
        assert customer_refs(SECRET, "demo", customer_id=" ", email=None) == ()

    @pytest.mark.parametrize(
        "given",
        [
            "Straße@b.example",
            "JOSE\u0301@b.example",
            "jos\u00e9@b.example",
            "ΟΔΟΣ@b.example",
            "οδος@b.example",
        ],
    )
    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_may_have_a_reference_of_an_older_release(self, given: str, form: Form) -> None:
        sent = unicodedata.normalize(form, given)
        older = hmac.digest(SECRET, length_prefixed("email", "demo", sent.casefold()).encode(), "sha256")
        for asked in (given, normal_email(given)):
            refs = customer_refs(SECRET, "demo", email=asked)
            assert refs[0] == customer_ref(SECRET, "demo", email=given)
            assert older[:16].hex() in refs

    def test_may_have_one_of_an_id_with_the_blanks_around_it(self) -> None:
        refs = customer_refs(SECRET, "demo", customer_id=" c-1\u00a0")
        older = hmac.digest(SECRET, length_prefixed("id", "demo", " c-1\u00a0").encode(), "sha256")
        assert refs == (customer_ref(SECRET, "demo", customer_id="c-1"), older[:16].hex())

    def test_an_order_is_no_customer(self) -> None:
        assert order_ref(SECRET, "demo", "c-1") != customer_ref(SECRET, "demo", customer_id="c-1")


class TestSomebodyWhoIsOnlyClaimed:
    def test_is_a_respondent_apart(self) -> None:
        assert respondent("r", verified=True) == "r"
        assert respondent("r", verified=False) != "r"
        assert with_claims("r") == ("r", respondent("r", verified=False))

    def test_stays_the_same_when_asked_again_and_when_erased(self) -> None:
        claimed, erased = respondent("r", verified=False), surrogate()
        assert respondent(claimed, verified=False) == claimed
        assert respondent(erased, verified=False) == erased
