"""What `closeloop verify` says of a report, and with which exit code."""

import json
from collections import Counter
from typing import Any

import pytest

from cli import CommandError, verify
from services.scorer.counting.store.verification import BucketFault
from services.scorer.operations import VerifyReport

FAULT = BucketFault("demo", "country:NL", "", "nps", "2026-11-22", "all", (1, 0, 0, 2), (0, 0, 0, 0))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> VerifyReport:
    """A report to be filled; nothing is asked of any engine."""
    report, wrong = VerifyReport(accepted=3, fates=Counter(counted=2, conflict=1), answers=2), list[Any]()

    async def verified(_: object) -> tuple[VerifyReport, list[Any]]:
        return report, wrong

    monkeypatch.setattr(verify, "_verify", verified)
    return report


class TestBalancedBooks:
    def test_say_what_became_of_every_answer(
        self, found: VerifyReport, capsys: pytest.CaptureFixture[str]
    ) -> None:
        verify.verify(as_json=False)
        shown = capsys.readouterr().out

        assert "accepted 3 = 1 conflict + 2 counted" in shown
        assert "WRONG" not in shown

    def test_tell_of_records_that_nobody_can_read(
        self, found: VerifyReport, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found.unreadable = 2
        verify.verify(as_json=False)

        assert "2 records cannot be read at all" in capsys.readouterr().out

    def test_are_json_for_machines(self, found: VerifyReport, capsys: pytest.CaptureFixture[str]) -> None:
        verify.verify(as_json=True)
        content = json.loads(capsys.readouterr().out)

        assert content["balanced"] is True
        assert content["scorer"]["fates"] == {"counted": 2, "conflict": 1}


class TestBooksThatDoNotBalance:
    def test_name_the_bucket(self, found: VerifyReport, capsys: pytest.CaptureFixture[str]) -> None:
        found.bucket_faults.append(FAULT)
        with pytest.raises(CommandError, match="do not balance"):
            verify.verify(as_json=False)

        assert "WRONG 1 buckets differ" in capsys.readouterr().out

    def test_are_json_for_machines_too(self, found: VerifyReport, capsys: pytest.CaptureFixture[str]) -> None:
        found.bucket_faults.append(FAULT)
        with pytest.raises(CommandError):
            verify.verify(as_json=True)

        (fault,) = json.loads(capsys.readouterr().out)["scorer"]["bucket_faults"]
        assert fault["segment"] == "country:NL"

    def test_an_answer_that_vanished_is_enough(self, found: VerifyReport) -> None:
        found.accepted += 1
        found.fates["missing"] = 1
        with pytest.raises(CommandError):
            verify.verify(as_json=True)
