"""`closeloop keys`: made once, shown once, revoked for good."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.access import Keyring
from shared.config.secrets import Secrets
from shared.db import Database

SECRET = "0123456789abcdef0123456789abcdef"
Run = Callable[..., Any]


@pytest.fixture
def keys(closeloop: Run, database_url: str) -> Run:
    def run(*arguments: str) -> Any:
        return closeloop("keys", *arguments, DATABASE_URL=database_url, CLOSELOOP_SECRET=SECRET)

    return run


def may(database_url: str, token: str, scope: str) -> bool | None:
    """What a service would say; None: it does not know the key."""

    async def ask() -> bool | None:
        database = Database(database_url, pool_size=1)
        try:
            keyring = Keyring(database, Secrets(SECRET).pepper)
            await keyring.refresh()
            key = keyring.known(token)
            return key.may(scope) if key else None
        finally:
            await database.close()

    return asyncio.run(ask())


def test_a_key_opens_what_it_was_made_for_until_it_is_revoked(keys: Run, database_url: str) -> None:
    made = keys("create", "--store", "demo", "--scope", "scores:read", "--name", "dashboard", "--json").json
    (listed,) = [key for key in keys("list", "--json").json if key["key_id"] == made["key_id"]]

    assert may(database_url, made["key"], "scores:read") is True
    assert may(database_url, made["key"], "cases:read") is False
    assert listed["state"] == "active"
    assert listed["name"] == "dashboard"
    assert listed["scopes"] == ["scores:read"]

    assert keys("revoke", made["key_id"]).code == 0
    assert may(database_url, made["key"], "scores:read") is None
    (listed,) = [key for key in keys("list", "--json").json if key["key_id"] == made["key_id"]]
    assert listed["state"] == "revoked"


def test_the_list_never_shows_the_secret(keys: Run) -> None:
    made = keys("create", "--store", "demo", "--scope", "admin", "--expires", "30d", "--json").json
    secret = made["key"].split("_", 2)[2]

    for shown in (keys("list"), keys("list", "--json"), keys("list", "--store", "demo")):
        assert made["key_id"] in shown.out
        assert secret not in shown.out


def test_a_public_key_may_only_submit(keys: Run) -> None:
    assert keys("create", "--store", "demo", "--kind", "public").out.startswith("pub_")

    refused = keys("create", "--store", "demo", "--kind", "public", "--scope", "admin")
    assert refused.code == 1
    assert "only submit" in refused.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "--store", "nowhere", "--scope", "admin"), "no store 'nowhere'"),
        (("create", "--store", "demo"), "without a scope"),
        (("create", "--store", "demo", "--scope", "admin", "--expires", "2020-01-01"), "has passed"),
        (("revoke", "abcdefghijkl"), "no key abcdefghijkl"),
    ],
)
def test_a_mistake_is_one_sentence_and_what_to_do(keys: Run, arguments: tuple[str, ...], says: str) -> None:
    done = keys(*arguments)

    assert done.code == 1
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_whole_key_is_revoked_as_well(keys: Run) -> None:
    token = keys("create", "--store", "demo", "--scope", "admin").out.strip()

    assert keys("revoke", token).code == 0
    assert keys("revoke", token).code == 1
