"""Counted exactly once, whoever holds the partition."""

from toy_group import Group, eventually


class TestExactlyOnce:
    async def test_applies_every_record_once_and_counts_every_id_once(self, group: Group) -> None:
        records = [group.record(f"id-{n % 3000}", n % 7) for n in range(4000)]
        await group.produce(records)
        async with group.member():
            await eventually(lambda: sum_is(group, 4000))
        places = await group.places()

        assert len(places) == len(set(places)) == 4000
        assert await group.value("SELECT count(*) FROM {s}.counted") == 3000
        assert await group.offsets() == {0: 2000, 1: 2000}


async def sum_is(group: Group, applied: int) -> bool:
    return sum((await group.offsets()).values()) == applied
