"""Keys in memory while PostgreSQL cannot read, or cannot write."""

import asyncio
from uuid import uuid4

import pytest

from shared.access import AccessUnavailable, Keyring, keys
from shared.db import Database

PEPPER = b"p" * 32


async def made(database: Database) -> str:
    async with database.transaction() as session:
        return await keys.create(session, store=f"s-{uuid4().hex[:8]}", kind="secret", pepper=PEPPER)


class TestAKeyring:
    async def test_revokes_also_when_it_cannot_write_down_uses(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await made(database)
        ring = Keyring(database, PEPPER)
        await ring.refresh()
        assert ring.known(token)

        async def full(*_: object) -> None:
            raise OSError("No space left on device")

        key_id = token.split("_")[1]
        with monkeypatch.context() as patch:
            patch.setattr(keys, "note_use", full)
            async with database.transaction() as session:
                await keys.revoke(session, key_id)
            await ring.refresh()
        assert ring.known(token) is None
        await ring.refresh()
        async with database.transaction() as session:
            (stored,) = [key for key in await keys.all_keys(session) if key.key_id == key_id]
        assert stored.last_used_at  # written down when it could be

    async def test_refuses_an_unknown_key_at_once_while_postgresql_is_away(self) -> None:
        reads = 0

        class Away(Database):
            def transaction(self) -> object:  # type: ignore[override]
                nonlocal reads
                reads += 1
                raise ConnectionRefusedError

        ring = Keyring(Away("postgresql://nobody@127.0.0.1:1/x"), PEPPER)
        token = f"sec_{'a' * 12}_{'b' * 43}"
        assert keys.parse(token)
        results = await asyncio.gather(*(ring.find(token) for _ in range(50)), return_exceptions=True)
        assert {type(result) for result in results} == {AccessUnavailable}
        with pytest.raises(AccessUnavailable):
            await ring.find(token)
        assert reads < 5
