"""Sign-in as a browser does it: cookies, forms and redirects."""

from collections.abc import Callable

import pytest

from shared.access import passwords, tries
from shared.access.roster import Roster
from tests.integration.pages.reception import PASSWORD, Reception, Visitor, token


async def test_a_page_sends_who_is_signed_out_to_the_sign_in_and_back(
    reception: Reception, visitor: Visitor
) -> None:
    email = await reception.hire()
    page = await visitor.open("/inbox?owner=me")
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=/inbox%3Fowner%3Dme"

    shown = await visitor.open(page.headers["location"])
    assert 'name="next" value="/inbox?owner=me"' in shown.text
    done = await visitor.post(
        "/login", email=email.upper(), password=PASSWORD, next="/inbox?owner=me", csrf=token(shown)
    )
    assert (done.status_code, done.headers["location"]) == (303, "/inbox?owner=me")
    inbox = await visitor.open("/inbox?owner=me")
    assert inbox.status_code == 200
    assert "Ines Moreau, agent" in inbox.text


async def test_the_session_cookie_is_for_this_site_alone_and_not_for_scripts(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    email = await reception.hire()
    done = await visitors().sign_in(email)
    [cookie] = [c for c in done.headers.get_list("set-cookie") if c.startswith("closeloop_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert f"Max-Age={14 * 86400}" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie

    done = await visitors("https://toy.example").sign_in(email)
    [cookie] = [c for c in done.headers.get_list("set-cookie") if c.startswith("__Host-closeloop_session=")]
    assert "Secure" in cookie


async def test_a_changed_cookie_is_nobody(reception: Reception, visitor: Visitor) -> None:
    await visitor.sign_in(await reception.hire())
    value = visitor.client.cookies["closeloop_session"]
    visitor.client.cookies.clear()
    changed = ("A" if value[0] != "A" else "B") + value[1:]
    page = await visitor.open("/inbox", Cookie=f"closeloop_session={changed}")
    assert page.status_code == 303


@pytest.mark.parametrize(
    ("email", "password"), [("", PASSWORD), ("nobody@shop.example", PASSWORD), (None, "wrong one")]
)
async def test_the_error_names_neither_field(
    reception: Reception, visitor: Visitor, email: str | None, password: str
) -> None:
    known = await reception.hire()
    page = await visitor.sign_in(known if email is None else email, password)
    assert page.status_code == 401
    assert "E-mail or password is not right." in page.text
    assert password not in page.text
    assert "closeloop_session" not in page.headers.get("set-cookie", "")


async def test_after_five_wrong_tries_the_pair_waits_also_with_the_right_password(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    email = await reception.hire()
    visitor = visitors()
    for _ in range(tries.MOST):
        assert (await visitor.sign_in(email, "wrong")).status_code == 401
    page = await visitor.sign_in(email)
    assert page.status_code == 429
    assert 800 < int(page.headers["retry-after"]) <= 900
    assert "has to wait for 15 minutes" in page.text
    other = await reception.hire("Noor Bakker")
    assert (await visitor.sign_in(other)).status_code == 303


async def test_a_right_password_forgets_the_wrong_ones(reception: Reception, visitor: Visitor) -> None:
    email = await reception.hire()
    for _ in range(2):
        for _ in range(tries.MOST - 1):
            await visitor.sign_in(email, "wrong")
        assert (await visitor.sign_in(email)).status_code == 303
        await visitor.send("/logout", "/inbox")


@pytest.mark.parametrize(
    ("limit", "status"), [("_MOST_WAITING", 503), ("_MOST_IN_LINE", 429)], ids=["all", "this address"]
)
async def test_a_password_that_nobody_could_look_at_was_no_try(
    reception: Reception, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, limit: str, status: int
) -> None:
    monkeypatch.setattr(tries, "MOST_OF_ADDRESS", tries.MOST + 2)
    email = await reception.hire()
    for _ in range(tries.MOST - 1):
        assert (await visitor.sign_in(email, "wrong")).status_code == 401
    with monkeypatch.context() as crowd:
        crowd.setattr(passwords, limit, 0)
        for _ in range(tries.MOST):
            page = await visitor.sign_in(email)
            assert (page.status_code, "at this moment" in page.text) == (status, True)
    assert (await visitor.sign_in(email, "wrong")).status_code == 401
    assert (await visitor.sign_in(email)).status_code == 429  # those that were wrong still count
    colleague = await reception.hire("Noor Bakker")
    assert (await visitor.sign_in(colleague)).status_code == 303


async def test_a_hash_of_yesterday_is_renewed(
    reception: Reception, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = passwords.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", lambda: weak)
        email = await reception.hire()
    before = await reception.account(email)
    assert passwords.is_dated(before.password_hash or "")
    with monkeypatch.context() as crowd:
        crowd.setattr(passwords.Passwords, "hash", crowded)
        assert (await visitor.sign_in(email)).status_code == 303
    assert (await reception.account(email)).password_hash == before.password_hash
    await visitor.send("/logout", "/inbox")
    assert (await visitor.sign_in(email)).status_code == 303
    after = await reception.account(email)
    assert not passwords.is_dated(after.password_hash or "")
    assert after.password_version == before.password_version


async def crowded(*_: object, **__: object) -> str:
    raise passwords.Crowded


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "/login"])
async def test_sign_in_leads_nowhere_else(reception: Reception, visitor: Visitor, target: str) -> None:
    done = await visitor.sign_in(await reception.hire(), next=target)
    assert (done.status_code, done.headers["location"]) == (303, "/inbox")


async def test_signing_out_ends_the_session_itself(reception: Reception, visitor: Visitor) -> None:
    await visitor.sign_in(await reception.hire())
    kept = visitor.client.cookies["closeloop_session"]
    done = await visitor.send("/logout", "/inbox")
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    visitor.client.cookies.clear()
    page = await visitor.open("/inbox", Cookie=f"closeloop_session={kept}")
    assert page.status_code == 303
    assert page.headers["location"].startswith("/login")


async def test_one_sign_in_is_known_to_every_service_at_once(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    visitor = visitors()
    await visitor.sign_in(await reception.hire())
    elsewhere = Roster(reception.database)
    await elsewhere.refresh()
    other = Visitor(visitor.client)
    email = await reception.hire("Noor Bakker")
    await other.send("/logout", "/inbox")
    await other.sign_in(email)
    secret = other.client.cookies["closeloop_session"].rpartition(".")[0]
    found = await elsewhere.find(secret)
    assert found is not None
    assert found.email == email


async def test_who_is_removed_is_out_within_seconds(
    reception: Reception, visitor: Visitor, roster: Roster
) -> None:
    from shared.access import users

    email = await reception.hire()
    await visitor.sign_in(email)
    async with reception.database.transaction() as session:
        await users.deactivate(session, (await reception.account(email)).user_id)
    await roster.refresh()  # as every 2 s
    page = await visitor.open("/inbox")
    assert page.headers["location"].startswith("/login")
    assert (await visitor.sign_in(email)).status_code == 401
