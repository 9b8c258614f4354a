"""Whoever tries too much from one network address waits, and nobody else does."""

from collections.abc import Callable

import httpx
import pytest

from shared.access import tries
from shared.access.roster import Roster
from tests.integration.pages.reception import PASSWORD, Reception, Visitor


class TestTriesWithManyAddressesOfEMail:
    async def test_are_429_for_the_network_address_alone(
        self, reception: Reception, visitors: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tries, "MOST_OF_ADDRESS", 6)
        email, sprayer = await reception.hire(), visitors()
        for number in range(6):
            assert (await sprayer.sign_in(f"p{number}@shop.example", "Summer2026!")).status_code == 401
        page = await sprayer.sign_in(email)
        assert page.status_code == 429
        assert 0 < int(page.headers["retry-after"]) <= 150
        assert (await visitors(elsewhere=True).sign_in(email)).status_code == 303

    async def test_that_were_right_do_not_count(
        self, reception: Reception, visitors: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tries, "MOST_OF_ADDRESS", 3)
        email = await reception.hire()
        for _ in range(8):
            assert (await visitors().sign_in(email)).status_code == 303

    async def test_of_a_pair_that_waits_do_not_count_for_the_office(
        self, reception: Reception, visitors: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tries, "MOST_OF_ADDRESS", tries.MOST + 2)
        email, colleague = await reception.hire(), await reception.hire("Noor Bakker")
        for _ in range(20):
            await visitors().sign_in(email, "wrong")
        assert (await visitors().sign_in(colleague)).status_code == 303


class TestThePasswordOfAnAccount:
    async def test_is_429_with_a_time_after_too_many_wrong_ones(
        self, reception: Reception, visitor: Visitor
    ) -> None:
        await visitor.sign_in(await reception.hire())
        fields = {"current": "wrong", "password": "another seven boats"}
        for _ in range(tries.MOST):
            page = await visitor.send("/account/password", "/account", **fields)
            assert page.status_code == 422
        page = await visitor.send("/account/password", "/account", **fields)
        assert page.status_code == 429
        assert 800 < int(page.headers["retry-after"]) <= 900


@pytest.mark.parametrize("purpose", ["invite", "reset"])
async def test_links_that_are_followed_too_often_are_429_for_the_network_address_alone(
    reception: Reception, visitors: Callable[..., Visitor], purpose: str
) -> None:
    visitor = visitors()
    pages = [await visitor.open(f"/{purpose}/forged-{number}") for number in range(32)]
    assert [page.status_code for page in pages].count(410) == 30
    assert pages[-1].status_code == 429
    assert int(pages[-1].headers["retry-after"]) >= 1
    assert "Too many tries" in pages[-1].text
    invitation = await reception.invite()
    assert (await visitor.open(invitation)).status_code == 429
    assert (await visitors(elsewhere=True).open(invitation)).status_code == 200


async def test_all_of_an_ipv6_network_is_one_client(
    reception: Reception, served: tuple[httpx.ASGITransport, Roster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "MOST_OF_ADDRESS", 4)
    email = await reception.hire()
    statuses = []
    for number in range(6):
        transport = httpx.ASGITransport(served[0].app, client=(f"2001:db8:9:9::{number:x}", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://toy.example") as client:
            statuses.append((await Visitor(client).sign_in(f"p{number}.{email}", PASSWORD)).status_code)
    assert statuses == [401] * 4 + [429] * 2
