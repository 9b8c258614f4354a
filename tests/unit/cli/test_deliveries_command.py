"""How an operator writes the moment of a crash."""

from datetime import UTC, datetime

import pytest

from cli import CommandError
from cli.deliveries import moment_of_crash


class TestMomentOfCrash:
    def test_is_none_or_a_time_of_rfc_3339(self) -> None:
        assert moment_of_crash("") is None
        assert moment_of_crash("2025-11-22t03:00:00z") == datetime(2025, 11, 22, 3, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("2025-W48-1T10:00:00Z", "no moment"),
            ("20251130T100000Z", "no moment"),
            ("2025-11-22T03:00:00", "time zone"),
            ("2999-11-22T03:00:00Z", "still to come"),
        ],
    )
    def test_of_any_other_form_is_refused(self, text: str, why: str) -> None:
        with pytest.raises(CommandError, match=why):
            moment_of_crash(text)
