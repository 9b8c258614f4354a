"""What a second `closeloop demo` remembers of the first."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.demo.journeys import Step
from cli.demo.world import World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER, LATER = (Step(NOW - timedelta(hours=hours), "POST", "/v1/responses") for hours in (2, 1))


def test_a_second_start_sends_only_what_is_new(tmp_path: Path) -> None:
    World(tmp_path / "world", "sec_key_x", 1).sent(30, EARLIER.at)
    second = World(tmp_path / "world", "sec_key_x", 1)

    assert second.missing([EARLIER, LATER], 30) == [LATER]


def test_more_days_than_before_are_sent_whole(tmp_path: Path) -> None:
    World(tmp_path / "world", "sec_key_x", 1).sent(30, EARLIER.at)
    second = World(tmp_path / "world", "sec_key_x", 1)

    assert second.missing([EARLIER, LATER], 60) == [EARLIER, LATER]


def test_another_database_or_seed_knows_nothing(tmp_path: Path) -> None:
    World(tmp_path / "world", "sec_key_x", 1).sent(30, LATER.at)

    for other in (World(tmp_path / "world", "sec_new_x", 1), World(tmp_path / "world", "sec_key_x", 2)):
        assert other.missing([EARLIER], 30) == [EARLIER]


def test_a_broken_file_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "world").write_text('{"world": 3')
    assert World(tmp_path / "world", "sec_key_x", 1).missing([EARLIER], 30) == [EARLIER]


def test_every_run_of_live_traffic_has_a_number_of_its_own(tmp_path: Path) -> None:
    first = World(tmp_path / "world", "sec_key_x", 1)
    first.sent(30, EARLIER.at)
    assert first.next_run() == 1
    second = World(tmp_path / "world", "sec_key_x", 1)

    assert second.next_run() == 2
    assert second.missing([EARLIER, LATER], 30) == [LATER]
