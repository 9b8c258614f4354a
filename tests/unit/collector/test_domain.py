"""Times, scores and ids that a body names."""

from datetime import UTC, datetime, timedelta

import pytest

from services.collector.domain import (
    InvalidInput,
    check_score,
    checked_scale,
    chosen_id,
    event_time,
    namespaced,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return event_time(text, NOW, "/answered_at")


class TestEventTime:
    def test_is_in_utc(self) -> None:
        assert at("2026-11-22T10:00:00+01:00") == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert at("2026-11-22T10:00:00.5Z").tzinfo is UTC
        assert at("2026-11-22t09:00:00z") == datetime(2026, 11, 22, 9, tzinfo=UTC)

    @pytest.mark.parametrize(("minutes", "good"), [(0, True), (5, True), (5.01, False)])
    def test_may_be_5_minutes_ahead(self, minutes: float, good: bool) -> None:
        sent = (NOW + timedelta(minutes=minutes)).isoformat()
        if good:
            assert at(sent) == NOW + timedelta(minutes=minutes)
        else:
            with pytest.raises(InvalidInput, match="future"):
                at(sent)

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            ("2026-11-22T10:00:00", "zone"),
            ("2026-11-20", "not a time"),
            ("2026-W47-1T10:00:00Z", "not a time"),
            ("20261120T100000Z", "not a time"),
            ("1999-12-31T23:59:59Z", "2000"),
            ("0001-01-01T00:00:00+14:00", "not a time"),
            ("9999-12-31T23:59:59-14:00", "not a time"),
            ("yesterday", "not a time"),
            ("", "not a time"),
        ],
    )
    def test_says_what_is_wrong_and_quotes_nothing(self, sent: str, why: str) -> None:
        with pytest.raises(InvalidInput, match=why) as refused:
            at(sent)
        assert refused.value.pointer == "/answered_at"
        assert not sent or sent not in refused.value.detail


class TestAScore:
    def test_is_checked_against_the_metrics_default_scale(self) -> None:
        check_score(checked_scale("csat", None), 5)
        with pytest.raises(InvalidInput, match=r"1\.\.5"):
            check_score(checked_scale("csat", None), 6)

    def test_of_an_unknown_scale_lists_what_there_is(self) -> None:
        with pytest.raises(InvalidInput, match=r"1-7, 1-5-effort") as refused:
            checked_scale("ces", "secret words")
        assert "secret" not in refused.value.detail


class TestAnId:
    def test_comes_from_the_body_or_the_header(self) -> None:
        assert chosen_id("a", None) == "a"
        assert chosen_id(None, b"a") == "a"
        assert chosen_id(None, b'"a"') == "a"
        assert chosen_id("a", b"a") == "a"
        assert chosen_id(None, None) is None

    @pytest.mark.parametrize("header", [b"", b"x" * 129, b"\xc3\xa9", b"a\tb", b"b"])
    def test_that_is_wrong_or_another_is_refused(self, header: bytes) -> None:
        with pytest.raises(InvalidInput):
            chosen_id("a", header)

    def test_of_a_page_stands_in_the_name_space_of_its_key(self) -> None:
        once = namespaced("abcabcabcabc", "r-1")
        assert once == "abcabcabcabc:r-1"
        assert namespaced("abcabcabcabc", once) == once
