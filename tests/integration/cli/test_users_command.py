"""`closeloop users`: people made, invited and removed, as an administrator does it."""

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from shared.access.links import Links
from shared.config.secrets import Secrets

SECRET = "0123456789abcdef0123456789abcdef"
Run = Callable[..., Any]


@pytest.fixture
def people(closeloop: Run, database_url: str) -> Run:
    def run(*arguments: str) -> Any:
        return closeloop("users", *arguments, DATABASE_URL=database_url, CLOSELOOP_SECRET=SECRET)

    return run


@pytest.fixture
def email() -> str:
    return f"ines.{uuid4().hex[:10]}@shop.example"


def listed(people: Run, email: str) -> dict[str, Any]:
    [found] = [each for each in people("list", "--json").json if each["email"] == email]
    return found


def test_an_invitation_is_a_link_and_an_account_without_a_password(people: Run, email: str) -> None:
    done = people(
        "invite", email.upper(), "--store", "demo", "--role", "manager", "--url", "https://shop.example/"
    )
    link = done.out.strip()
    assert link.startswith("https://shop.example/invite/")
    assert Links(Secrets(SECRET)).claim("invite", link.rsplit("/", 1)[1])
    assert "It works once" in done.err
    assert listed(people, email) == {
        "email": email,
        "name": email.partition("@")[0],
        "stores": {"demo": "manager"},
        "state": "invited",
        "last_seen_at": None,
    }


def test_an_account_can_be_made_with_a_piped_password(
    people: Run, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("seven green boats\n"))
    assert "can sign in" in people("add", email, "--store", "demo", "--name", "Ines Moreau").out
    assert listed(people, email)["state"] == "active"
    again = people("invite", email, "--store", "demo", "--url", "https://shop.example")
    assert again.code == 1
    assert "has a password already" in again.err
    reset = people("reset", email, "--url", "https://shop.example", "--json").json
    assert reset["link"].startswith("https://shop.example/reset/")
    assert reset["name"] == "Ines Moreau"


def test_roles_change_and_the_last_store_closes_the_account(people: Run, email: str) -> None:
    people("invite", email, "--store", "demo", "--url", "https://shop.example")
    assert people("role", email, "admin", "--store", "demo", "--json").json["stores"] == {"demo": "admin"}
    assert "The account is closed" in people("remove", email, "--store", "demo").out
    assert listed(people, email)["state"] == "closed"
    assert "is closed" in people("reset", email, "--url", "https://shop.example").err
    assert people("invite", email, "--store", "demo", "--url", "https://shop.example").code == 0


def test_the_link_of_a_closed_account_stays_over_when_it_opens_again(
    people: Run, email: str, database_url: str
) -> None:
    first = people("invite", email, "--store", "demo", "--url", "https://shop.example").out.strip()
    people("remove", email)
    people("invite", email, "--store", "demo", "--url", "https://shop.example")
    claim = Links(Secrets(SECRET)).claim("invite", first.rsplit("/", 1)[1])

    async def opens() -> bool:
        from shared.access import users
        from shared.db import Database

        database = Database(database_url, pool_size=1)
        try:
            async with database.transaction() as session:
                account = await users.by_email(session, email)
            assert account and claim
            return claim.opens(account)
        finally:
            await database.close()

    assert not asyncio.run(opens())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("invite", "no-address", "--store", "demo", "--url", "https://x.example"),
            "is not an e-mail address",
        ),
        (("invite", "a@b.example", "--store", "nowhere", "--url", "https://x.example"), "no store 'nowhere'"),
        (("invite", "a@b.example", "--store", "demo", "--url", "shop"), "is no address"),
        (("invite", "a@b.example", "--store", "demo"), "not known where people open the pages"),
        (("reset", "nobody@b.example", "--url", "https://x.example"), "nobody with nobody@b.example"),
        (("remove", "nobody@b.example"), "nobody with nobody@b.example"),
    ],
)
def test_a_mistake_is_one_sentence_and_what_to_do(people: Run, arguments: tuple[str, ...], says: str) -> None:
    done = people(*arguments)
    assert done.code == 1
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_weak_password_is_refused(people: Run, email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    done = people("add", email, "--store", "demo")
    assert done.code == 1
    assert "At least 10 characters" in done.err
    assert not [each for each in people("list", "--json").json if each["email"] == email]
