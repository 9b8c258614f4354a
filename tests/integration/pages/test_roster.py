"""The cache of people: what it knows, and what it says while PostgreSQL is away."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from shared.access import AccessUnavailable, Member, sessions
from shared.access.roster import Roster
from shared.db import Database, Session
from shared.ops.health import NotReady
from tests.integration.pages.reception import Reception, Visitor


class Leaving(Database):
    """A real database that can be away."""

    away = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        if self.away:
            raise ConnectionRefusedError
        async with super().transaction() as session:
            yield session


@pytest.fixture
async def leaving(database_url: str) -> AsyncIterator[Leaving]:
    database = Leaving(database_url, pool_size=2)
    yield database
    await database.close()


async def begun(reception: Reception, email: str) -> str:
    user_id = (await reception.account(email)).user_id
    async with reception.database.transaction() as session:
        return await sessions.begin(session, user_id)


async def test_who_is_known_stays_known_and_nobody_is_signed_out_by_an_outage(
    reception: Reception, leaving: Leaving
) -> None:
    email = await reception.hire()
    roster = Roster(leaving)
    with pytest.raises(NotReady):
        await roster.check()
    known = await begun(reception, email)
    await roster.refresh()
    leaving.away = True
    later = await begun(reception, email)

    person = await roster.find(known)
    assert person is not None
    assert (person.email, person.initials, person.stores) == (email, "IM", {reception.here: "agent"})
    with pytest.raises(AccessUnavailable):
        await roster.find(later)
    leaving.away = False
    assert await roster.find(later) is not None
    assert await roster.find("never begun") is None


async def test_signs_out_also_when_it_cannot_write_down_uses(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await begun(reception, await reception.hire())
    roster = Roster(reception.database)
    await roster.refresh()
    assert roster.known(secret)

    async def full(*_: object) -> None:
        raise OSError("No space left on device")

    noted: list[bytes] = []

    async def note(_: object, used: Sequence[tuple[bytes, object]]) -> None:
        noted.extend(digest for digest, _ in used)

    monkeypatch.setattr(sessions, "note_use", full)
    async with reception.database.transaction() as session:
        await sessions.end(session, sessions.digest(secret))
    await roster.refresh()
    assert roster.known(secret) is None
    monkeypatch.setattr(sessions, "note_use", note)
    await roster.refresh()
    assert noted == [sessions.digest(secret)]  # written down when it could be


async def test_members_are_those_of_one_store_by_name(reception: Reception) -> None:
    await reception.hire("Noor Bakker", "manager")
    await reception.hire("david osei")
    await reception.hire("Else Where", store=reception.there)
    await reception.invite("zoe")
    roster = Roster(reception.database)
    await roster.refresh()
    assert roster.members(reception.here) == [
        Member(reception.email("david"), "david osei", "agent"),
        Member(reception.email("noor"), "Noor Bakker", "manager"),
        Member(reception.email("zoe"), f"zoe.{reception.here}", "agent"),
    ]


async def test_use_lengthens_a_session_and_an_old_one_is_over(reception: Reception) -> None:
    secret = await begun(reception, await reception.hire())
    roster = Roster(reception.database)

    async def age(days: float) -> None:
        async with reception.database.transaction() as session:
            await session.execute(
                text("""UPDATE access.sessions SET last_seen_at = now() - make_interval(secs => :age),
                        expires_at = now() - make_interval(secs => :age) + interval '14 days'
                        WHERE digest = :digest"""),
                {"age": days * 86400, "digest": sessions.digest(secret)},
            )

    async def ends_in() -> timedelta:
        async with reception.database.transaction() as session:
            row = await session.execute(
                text("SELECT expires_at FROM access.sessions WHERE digest = :digest"),
                {"digest": sessions.digest(secret)},
            )
        return row.scalar_one() - datetime.now(UTC)

    await age(13.9)
    await roster.refresh()
    assert roster.known(secret)
    await roster.refresh()
    assert await ends_in() > timedelta(days=13.99)
    await age(14.1)
    await roster.refresh()
    assert roster.known(secret) is None


async def test_a_session_is_over_thirty_days_after_it_began_however_often_it_is_used(
    reception: Reception, visitor: Visitor, roster: Roster
) -> None:
    await visitor.sign_in(await reception.hire())

    async def began(days_ago: float) -> httpx.Response:
        async with reception.database.transaction() as session:
            await session.execute(
                text("""UPDATE access.sessions SET created_at = now() - make_interval(secs => :age),
                        last_seen_at = now(), expires_at = now() + interval '14 days'
                        WHERE user_id IN (SELECT user_id FROM access.members WHERE store = :store)"""),
                {"age": days_ago * 86400, "store": reception.here},
            )
        await roster.refresh()
        return await visitor.open("/account")

    late = await began(days_ago=28)
    assert late.status_code == 200
    [cookie] = [c for c in late.headers.get_list("set-cookie") if c.startswith("closeloop_session=")]
    [age] = re.findall(r"Max-Age=(\d+)", cookie)
    assert timedelta(days=1.9) < timedelta(seconds=int(age)) <= timedelta(days=2)
    over = await began(days_ago=30.01)
    assert (over.status_code, over.headers["location"]) == (303, "/login?next=/account")
