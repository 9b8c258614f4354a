"""Words of the pages."""

from decimal import Decimal

import pytest

from services.notifier.inbox.list_view import amount


@pytest.mark.parametrize(
    ("value", "shown"),
    [("59.9", "59.90"), ("1200", "1,200"), ("1200.00", "1,200"), ("0.125", "0.125"), ("1E+3", "1,000")],
)
def test_an_amount_reads_like_a_price(value: str, shown: str) -> None:
    assert amount(Decimal(value)) == shown
