"""Which secret a key is derived from."""

import pytest
from pydantic import SecretStr, ValidationError

from shared.config.secrets import Secrets
from shared.ops.settings import PlatformSettings

ROOT, SIGNING = "r" * 32, "s" * 32
SIGNED = ("cookies", "csrf", "people-links", "amend-token", "customer-token")


class TestASigningSecret:
    def test_changes_what_is_signed_and_nothing_that_is_stored(self) -> None:
        before, after = Secrets(ROOT), Secrets(ROOT, SIGNING)

        assert after.pepper == before.pepper
        assert after.customers == before.customers
        assert all(after.derive(purpose) != before.derive(purpose) for purpose in SIGNED)
        assert after.amend_tokens == Secrets("another root", SIGNING).amend_tokens

    def test_is_the_root_when_it_is_absent(self) -> None:
        assert Secrets(ROOT, "").derive("cookies") == Secrets(ROOT).derive("cookies")


class TestTheSettings:
    def given(self, signing: str) -> PlatformSettings:
        return PlatformSettings(
            database_url=SecretStr("postgresql://nobody@localhost/none"),
            kafka_bootstrap_servers="localhost:9092",
            closeloop_secret=SecretStr(ROOT),
            closeloop_signing_secret=SecretStr(signing),
        )

    @pytest.mark.parametrize("signing", ["", SIGNING])
    def test_take_one_or_none(self, signing: str) -> None:
        assert self.given(signing).secrets.derive("csrf") == Secrets(ROOT, signing).derive("csrf")

    def test_refuse_one_that_can_be_guessed(self) -> None:
        with pytest.raises(ValidationError, match="at least 32 characters"):
            self.given("short")
