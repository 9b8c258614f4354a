"""What `closeloop verify` says of a report, and with which exit code."""

import json
from collections import Counter
from typing import Any

import pytest

from cli import CommandError, verify
from cli.adopting import KnownLog
from services.scorer.counting.store.verification import BucketFault
from services.scorer.operations import VerifyReport

FAULT = BucketFault("demo", "country:NL", "", "nps", "2026-11-22", "all", (1, 0, 0, 2), (0, 0, 0, 0))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> VerifyReport:
    """A report to be filled; nothing is asked of any engine."""
    report = VerifyReport(accepted=3, fates=Counter(counted=2, conflict=1), answers=2)
    answer_with(monkeypatch, report, [])
    return report


def answer_with(monkeypatch: pytest.MonkeyPatch, report: VerifyReport, logs: list[KnownLog]) -> None:
    async def verified(_: object) -> tuple[VerifyReport, list[Any], list[KnownLog]]:
        return report, [], logs

    monkeypatch.setattr(verify, "_verify", verified)


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


class TestALogThatWasNotRead:
    def test_is_said_with_the_command_and_no_answer_is_said_to_be_followed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault = "the topic t was made anew"
        logs = [
            KnownLog(service, "t", fault, partition, None, None, None)
            for service, partition in (("collector", None), ("scorer", 0), ("scorer", 1))
        ]
        answer_with(monkeypatch, VerifyReport(log_faults=[fault]), logs)
        with pytest.raises(CommandError, match="what is there now was not read") as caught:
            verify.verify(as_json=False)

        shown = capsys.readouterr().out
        assert f"WRONG {fault} (collector, scorer)" in shown
        assert "no accepted answer could be followed" in shown
        assert "accepted 0 = 0" not in shown
        assert "closeloop topics adopt" in caught.value.remedy

    def test_of_another_group_is_said_too(
        self, found: VerifyReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer_with(
            monkeypatch, found, [KnownLog("notifier", "s", "the topic s is gone", 0, None, None, None)]
        )
        with pytest.raises(CommandError):
            verify.verify(as_json=True)

        content = json.loads(capsys.readouterr().out)
        assert (content["balanced"], content["logs"][0]["service"]) == (False, "notifier")
