"""How an operator writes when a key ends, and how its state reads."""

from datetime import UTC, datetime, timedelta

import pytest

from cli import CommandError
from cli.keys import expiry, state_of
from shared.access.keys import StoredKey

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def key(*, expires_at: datetime | None = None, revoked_at: datetime | None = None) -> StoredKey:
    return StoredKey("k", "demo", "secret", frozenset(), b"", "", NOW, expires_at, revoked_at, None)


class TestExpiry:
    def test_is_never_by_default(self) -> None:
        assert expiry("", NOW) is None

    def test_of_a_date_is_the_end_of_that_day(self) -> None:
        assert expiry("2026-11-22", NOW) == datetime(2026, 11, 23, tzinfo=UTC)

    def test_of_days_counts_from_now(self) -> None:
        assert expiry("90d", NOW) == NOW + timedelta(days=90)

    @pytest.mark.parametrize("text", ["2026-11-21", "tomorrow", "90", "2026-13-01", "2027-1-3", "0x1d"])
    def test_refuses_the_past_and_what_is_no_date(self, text: str) -> None:
        with pytest.raises(CommandError, match="--expires"):
            expiry(text, NOW)


class TestState:
    def test_is_revoked_before_it_is_expired(self) -> None:
        assert state_of(key(), NOW) == "active"
        assert state_of(key(expires_at=NOW), NOW) == "expired"
        assert state_of(key(expires_at=NOW + timedelta(seconds=1)), NOW) == "active"
        assert state_of(key(expires_at=NOW, revoked_at=NOW), NOW) == "revoked"
