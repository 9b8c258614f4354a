"""Three brokers: any one may die, and no acknowledged answer with it; without two nobody is told 202."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.brokers import COPIES, BrokerNemesis, ReplicatedStack
from tests.faults.test_fault_journey import RATE, running, say

SECONDS = 60.0


@pytest.mark.faults
@pytest.mark.long
class TestBrokersAreLost:
    async def test_and_nothing_is_lost_and_nothing_is_doubled(
        self, tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
    ) -> None:
        stack = ReplicatedStack(tmp_path / "engines")
        async with running(tmp_path, str(seed), stack, COPIES) as journey:
            say(f"Three brokers, seed {seed}, {RATE:.0f} requests a second")
            done = await journey.round(str(seed), SECONDS, BrokerNemesis)
            record_property("summary", f"three brokers, {done.line}")
            say(done.line)
            if not done.findings.clean:
                pytest.fail(done.report, pytrace=False)
            assert done.put_off, "two of three brokers were gone, and nobody was told to come again"
