"""Signed tokens: good for what they were made for, until they end."""

import pytest

from services.collector.tokens import AMEND_SECONDS, AmendTokens, CustomerIdentity, CustomerTokens

NOW = 1_800_000_000


def amend(tokens: AmendTokens) -> str:
    return tokens.issue("shop", "r-1", now=NOW, metric="csat", scale="1-7", key_id="k", fingerprint="f-1")


class TestAnAmendToken:
    def test_says_which_answer_on_which_scale(self) -> None:
        tokens = AmendTokens(b"k" * 32)
        answer = tokens.read(amend(tokens), now=NOW)
        assert answer is not None
        assert (answer.store, answer.response_id, answer.key_id) == ("shop", "r-1", "k")
        assert (answer.metric, answer.scale, answer.fingerprint) == ("csat", "1-7", "f-1")

    def test_ends_after_a_day(self) -> None:
        tokens = AmendTokens(b"k" * 32)
        assert tokens.read(amend(tokens), now=NOW + AMEND_SECONDS) is not None
        assert tokens.read(amend(tokens), now=NOW + AMEND_SECONDS + 1) is None

    def test_of_another_key_is_nothing(self) -> None:
        assert AmendTokens(b"x" * 32).read(amend(AmendTokens(b"k" * 32)), now=NOW) is None

    def test_with_one_character_changed_is_nothing(self) -> None:
        tokens = AmendTokens(b"k" * 32)
        token = amend(tokens)
        for index in range(len(token) - 1):
            changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
            assert tokens.read(changed, now=NOW) is None

    @pytest.mark.parametrize(
        "token", ["", "amd_", "amd_=", "amd_é", "cst_AAAA", "amd_" + "A" * 5000, "amd_A"]
    )
    def test_that_is_none_is_nothing(self, token: str) -> None:
        assert AmendTokens(b"k" * 32).read(token, now=NOW) is None

    def test_is_safe_in_a_url(self) -> None:
        tokens = AmendTokens(b"k" * 32)
        token = tokens.issue(
            "shop", "ü/?&" * 30, now=NOW, metric="nps", scale="0-10", key_id="k", fingerprint="ü"
        )
        assert token.replace("_", "").replace("-", "").isalnum()


class TestACustomerToken:
    def test_names_the_customer_in_its_store_until_it_ends(self) -> None:
        tokens = CustomerTokens(b"k" * 32)
        token = tokens.issue("shop", CustomerIdentity("c-1", None), expires_at=NOW)
        assert tokens.read("shop", token, now=NOW) == CustomerIdentity("c-1", None)
        assert tokens.read("shop", token, now=NOW + 1) is None
        assert tokens.read("elsewhere", token, now=NOW) is None

    def test_is_no_amend_token_even_under_the_same_key(self) -> None:
        token = CustomerTokens(b"k" * 32).issue("shop", CustomerIdentity("c-1", None), expires_at=NOW)
        assert AmendTokens(b"k" * 32).read(token.replace("cst_", "amd_"), now=NOW) is None
