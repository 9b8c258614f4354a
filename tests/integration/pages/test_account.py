"""Invitations and resets: whoever has the link sets the password, once."""

import asyncio
from collections.abc import Callable

import pytest
from itsdangerous import TimestampSigner

from tests.integration.pages.reception import PASSWORD, Reception, Visitor, token

NEW = "four loud herons"


async def test_an_invitation_sets_name_and_password_and_signs_in(
    reception: Reception, visitor: Visitor
) -> None:
    link = await reception.invite(role="manager")
    page = await visitor.open(link)
    assert page.status_code == 200
    assert reception.email("noor") in page.text
    assert "manager of Harbour Goods" in page.text
    done = await visitor.post(link, csrf=token(page), name="Noor Bakker", password=NEW)
    assert (done.status_code, done.headers["location"]) == (303, "/inbox")
    assert "Noor Bakker, manager" in (await visitor.open("/inbox")).text


async def test_an_invitation_works_once(reception: Reception, visitors: Callable[..., Visitor]) -> None:
    link = await reception.invite()
    await visitors().send(link, link, name="Noor", password=NEW)
    again = await visitors().open(link)
    assert again.status_code == 410
    assert "does not work any more" in again.text


async def test_of_two_uses_at_the_same_moment_one_wins(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    link = await reception.invite()
    both = [visitors(), visitors()]
    pages = [await each.open(link) for each in both]
    done = await asyncio.gather(
        *(
            each.post(link, csrf=token(page), name="Noor", password=f"{NEW} {i}")
            for i, (each, page) in enumerate(zip(both, pages, strict=True))
        )
    )
    assert sorted(each.status_code for each in done) == [303, 410]


async def test_a_reset_ends_every_session_and_the_old_password(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    email = await reception.hire()
    before, after = visitors(), visitors()
    await before.sign_in(email)
    link = await reception.link("reset", email)
    assert (await after.send(link, link, password=NEW)).status_code == 303
    assert (await before.open("/inbox")).status_code == 303
    assert (await visitors().sign_in(email, PASSWORD)).status_code == 401
    assert (await visitors().sign_in(email, NEW)).status_code == 303


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "At least 10 characters"),
        ("aaaaaaaaaaaaaa", "different characters"),
        ("x" * 201 + "yzab", "At most"),
    ],
)
async def test_an_unfit_password_is_refused_at_its_field_and_the_name_stays(
    reception: Reception, visitor: Visitor, password: str, said: str
) -> None:
    link = await reception.invite()
    page = await visitor.send(link, link, name="Noor <Bakker>", password=password)
    assert page.status_code == 422
    assert said in page.text
    assert "Noor &lt;Bakker&gt;" in page.text
    assert password not in page.text


@pytest.mark.parametrize(("purpose", "days"), [("invite", 7), ("reset", 1)])
async def test_a_link_ends(
    reception: Reception, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, purpose: str, days: int
) -> None:
    await reception.hire()
    now = TimestampSigner("").get_timestamp()
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda self: now - days * 86400 - 5)
        late = await reception.link(purpose, reception.email())  # type: ignore[arg-type]
        patch.setattr(TimestampSigner, "get_timestamp", lambda self: now - days * 86400 + 60)
        timely = await reception.link(purpose, reception.email())  # type: ignore[arg-type]
    assert (await visitor.open(late)).status_code == 410
    assert (await visitor.open(timely)).status_code == 200


async def test_a_reset_link_is_no_invitation_and_a_forged_one_is_none(
    reception: Reception, visitor: Visitor
) -> None:
    await reception.hire()
    link = await reception.link("reset", reception.email())
    assert (await visitor.open(link.replace("/reset/", "/invite/"))).status_code == 410
    assert (await visitor.open(link[:-2])).status_code == 410
    assert (await visitor.open("/reset/" + "x" * 3000)).status_code == 410


async def test_a_mail_scanner_that_opens_the_link_uses_nothing_up(
    reception: Reception, visitors: Callable[..., Visitor]
) -> None:
    link = await reception.invite()
    for _ in range(3):
        assert (await visitors().open(link)).status_code == 200
