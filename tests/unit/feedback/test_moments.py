"""Times of RFC 3339, and what is none."""

import contextlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.home import PROJECT
from shared.feedback.moments import InvalidMoment, MissingOffset, parse_moment, parse_moment_of_query


class TestMoment:
    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-11-30T10:00:00Z", "2026-11-30T10:00:00"),
            ("2026-11-30t10:00:00z", "2026-11-30T10:00:00"),
            ("2026-11-30 10:00:00+01:00", "2026-11-30T09:00:00"),
            ("2026-11-30T10:00:00-00:00", "2026-11-30T10:00:00"),
            ("2026-11-30T00:30:00+05:45", "2026-11-29T18:45:00"),
            ("2026-11-30T10:00:00.5Z", "2026-11-30T10:00:00.500000"),
            ("2026-11-30T10:00:00.1234567890123456789Z", "2026-11-30T10:00:00.123456"),
            ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
            ("2016-12-31T15:59:60.25-08:00", "2017-01-01T00:00:00.250000"),
        ],
    )
    def test_of_rfc_3339_is_read(self, text: str, utc: str) -> None:
        moment = parse_moment(text)
        assert moment.tzinfo is not None
        assert moment.astimezone(UTC) == datetime.fromisoformat(utc).replace(tzinfo=UTC)

    @pytest.mark.parametrize(
        "text",
        [
            "2026-W48-1T10:00:00Z",
            "20261130T100000Z",
            "2026-11-30T100000Z",
            "2026-334T10:00:00Z",
            "2026-11-30T10:00Z",
            "2026-11-30T10Z",
            "2026-11-30Z",
            "2026-11-30",
            "2026-11-30_10:00:00Z",
            "2026-11-30T10:00:00,5Z",
            "2026-11-30T10:00:00.Z",
            "2026-11-30T10:00:00+0100",
            "2026-11-30T10:00:00+01",
            "2026-11-30T10:00:00+01:00:00",
            "2026-11-30T10:00:00+24:00",
            "2026-11-30T10:00:00+01:60",
            "2026-11-30T24:00:00Z",
            "2026-11-30T10:60:00Z",
            "2026-11-30T10:00:61Z",
            "2026-11-30T10:00:60Z",
            "2026-11-29T23:59:60Z",
            "2026-11-30T23:59:60+01:00",
            "2026-02-29T10:00:00Z",
            "0000-11-30T10:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "9999-12-31T23:59:60Z",
            "٢٠٢٦-11-30T10:00:00Z",
            " 2026-11-30T10:00:00Z",
            "2026-11-30T10:00:00Z\n",
            "1796000000",
            "",
        ],
    )
    def test_of_another_form_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidMoment):
            parse_moment(text)

    def test_without_an_offset_says_so(self) -> None:
        with pytest.raises(MissingOffset):
            parse_moment("2026-11-30T10:00:00")
        with pytest.raises(InvalidMoment) as wrong:
            parse_moment("2026-11-31T10:00:00")
        assert not isinstance(wrong.value, MissingOffset)

    @pytest.mark.parametrize("text", ["2026-11-30T10:00:00 01:00", "2026-11-30 10:00:00 01:00"])
    def test_of_a_query_gets_its_plus_back(self, text: str) -> None:
        assert parse_moment_of_query(text).utcoffset() == timedelta(hours=1)
        with pytest.raises(InvalidMoment):
            parse_moment(text)

    @given(st.datetimes(timezones=st.timezones()).filter(lambda moment: moment.year > 1972))
    def test_that_python_writes_is_read_back(self, moment: datetime) -> None:
        assert parse_moment(moment.isoformat()) == moment.astimezone(UTC)

    @given(st.text("0123456789-:.+TtZzW ", max_size=30))
    def test_of_any_text_is_read_or_refused(self, text: str) -> None:
        with contextlib.suppress(InvalidMoment):
            assert parse_moment(text).tzinfo is not None


OWN_WRITING = {
    "shared/feedback/moments.py": "the parser",
    "services/notifier/inbox/forms.py": "a wall time, as HTML defines it",
    "services/notifier/inbox/history.py": "a stored entry",
    "services/notifier/cases/store/search.py": "a cursor, as PostgreSQL writes it",
    "services/scorer/counting/store/respondents.py": "stored tiers",
    "cli/demo/world.py": "a file of its own",
    "cli/demo/shop.py": "a time of its own",
}
"""What reads other times, and which."""


class TestOneParser:
    """Nothing else reads the times that clients, people and operators write."""

    def test_reads_every_time_from_outside(self) -> None:
        others = re.compile(r"fromisoformat|strptime|AwareDatetime")
        found = {
            file.relative_to(PROJECT).as_posix()
            for folder in ("services", "shared", "cli")
            for file in (PROJECT / folder).rglob("*.py")
            if others.search(file.read_text())
        }
        assert found == OWN_WRITING.keys()
