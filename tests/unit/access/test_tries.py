"""How long somebody waits who does not know the password."""

from datetime import UTC, datetime, timedelta

from shared.access.tries import MOST, MOST_OF_ADDRESS, WAIT, Tries, after_try_of_address, of_address, pair

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def after(count: int, *, every: timedelta = timedelta(seconds=1)) -> Tries:
    tries = Tries(0, NOON)
    for number in range(count):
        tries = tries.after_one(NOON + number * every)
    return tries


def test_four_wrong_tries_do_not_wait() -> None:
    assert after(MOST - 1).wait(NOON + timedelta(seconds=5)) == timedelta()


def test_the_fifth_waits_fifteen_minutes_from_then() -> None:
    tries = after(MOST)
    assert tries.wait(tries.last_at) == WAIT == timedelta(minutes=15)
    assert tries.wait(tries.last_at + timedelta(minutes=14)) == timedelta(minutes=1)
    assert tries.wait(tries.last_at + WAIT) == timedelta()


def test_after_the_wait_there_are_five_again() -> None:
    assert after(MOST).after_one(NOON + timedelta(hours=1)) == Tries(1, NOON + timedelta(hours=1))


def test_tries_far_apart_are_not_added_up() -> None:
    assert after(20, every=WAIT).count == 1


def test_a_pair_is_known_again_and_mixes_with_no_other() -> None:
    key = b"k" * 32
    assert pair(key, "a@b.example", "192.0.2.1") == pair(key, "a@b.example", "192.0.2.1")
    assert pair(key, "a@b.example1", "92.0.2.1") != pair(key, "a@b.example", "192.0.2.1")
    assert pair(b"l" * 32, "a@b.example", "192.0.2.1") != pair(key, "a@b.example", "192.0.2.1")


def test_an_address_has_its_tries_at_once_and_then_one_after_the_other() -> None:
    over_at, waits = NOON, []
    for _ in range(MOST_OF_ADDRESS):
        over_at, wait = after_try_of_address(over_at, NOON)
        waits.append(wait)
    assert set(waits) == {timedelta()}
    _, wait = after_try_of_address(over_at, NOON)
    assert wait == WAIT / MOST_OF_ADDRESS
    assert after_try_of_address(over_at, NOON + wait)[1] == timedelta()
    assert after_try_of_address(over_at, NOON + WAIT)[0] == NOON + WAIT + WAIT / MOST_OF_ADDRESS


def test_an_address_has_another_name_than_any_pair() -> None:
    key = b"k" * 32
    assert of_address(key, "192.0.2.1") != pair(key, "", "192.0.2.1")
