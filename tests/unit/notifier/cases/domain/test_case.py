"""The same again under the same id."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.notifier.cases.domain.case import id_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class TestAnId:
    def test_is_the_same_for_the_same_moment_and_parts(self) -> None:
        assert id_of(NOON, "demo", "r-1") == id_of(NOON, "demo", "r-1")

    def test_is_another_for_any_other_part(self) -> None:
        assert (
            len({id_of(NOON, "a", "bc"), id_of(NOON, "ab", "c"), id_of(NOON, "abc"), id_of(NOON, "a")}) == 4
        )

    def test_sorts_by_its_moment(self) -> None:
        ids = [id_of(NOON + timedelta(milliseconds=n), str(n)) for n in range(50)]
        assert ids == sorted(ids)

    def test_is_a_uuid_of_version_7(self) -> None:
        known = UUID(id_of(NOON, "demo", "r-1"))
        assert (known.version, known.variant) == (7, "specified in RFC 4122")
        assert known.int >> 80 == int(NOON.timestamp() * 1000)
