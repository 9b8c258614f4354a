"""Times, spans and figures as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from shared.pages.wording import PageClock, ago, amount, full_moment, number, percent, signed, span, when

HERE = PageClock(datetime(2026, 11, 26, 13, 32, tzinfo=UTC), ZoneInfo("Europe/Amsterdam"))


def before(**parts: float) -> datetime:
    return HERE.now - timedelta(**parts)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (8760, "2 h 26 min"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
        (-5, "0 s"),
        (None, "–"),
    ],
)
def test_spans(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.42, "0.4 s"),
        (59.96, "1 min"),
        (11_520, "3 h 12 min"),
        (7200, "2 h"),
        (181_440, "2 d 2 h"),
    ],
)
def test_spans_that_were_measured(seconds: float | None, said: str) -> None:
    assert span(seconds, tenths=True) == said


def test_a_full_moment_reads_the_same_on_every_day() -> None:
    assert full_moment(HERE.now, HERE.zone) == "26 Nov 2026, 14:32"


@pytest.mark.parametrize(
    ("value", "said"),
    [("59.9", "59.90"), ("1200", "1,200"), ("1200.00", "1,200"), ("0.125", "0.125"), ("1E+3", "1,000")],
)
def test_an_amount_reads_like_a_price(value: str, said: str) -> None:
    assert amount(Decimal(value)) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (before(seconds=2), "2 s ago"),
        (before(minutes=59), "59 min ago"),
        (before(minutes=61), "13:31"),
        (before(hours=14, minutes=31), "00:01"),
        (before(hours=14, minutes=33), "25 Nov"),
        (before(days=400), "22 Oct 2025"),
    ],
)
def test_how_long_ago(moment: datetime, said: str) -> None:
    assert ago(moment, HERE) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (HERE.now + timedelta(hours=2), "16:32"),
        (HERE.now + timedelta(days=4, hours=22), "Tue 1 Dec, 12:32"),
        (HERE.now + timedelta(days=60), "25 Jan 2027, 14:32"),
    ],
)
def test_when_it_will_be(moment: datetime, said: str) -> None:
    assert when(moment, HERE) == said


def test_figures_have_a_true_minus_and_a_dash_for_nothing() -> None:
    assert (number(1284), number(-4.25, 1), number(None)) == ("1,284", "−4.2", "–")
    assert (signed(8.6), signed(-4.2), signed(-0.04), signed(None)) == ("+8.6", "−4.2", "0.0", "–")
    assert (percent(0.876), percent(None)) == ("88%", "–")
