"""Sign-in, the account, the bar on top and the error pages in a real browser."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from shared.db import Database
from tests.browser.browsing import LOOKS, Look, Watched, serving

Window = Callable[..., AbstractAsyncContextManager[Watched]]


@dataclass
class House:
    """The reception at an address, with a manager of two stores and somebody who was invited."""

    url: str
    email: str
    password: str
    invitation: str
    reception: object


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    from tests.integration.pages.reception import PASSWORD, Reception

    reception = Reception(database)
    email = await reception.hire("Ines Moreau", "agent")
    await reception.hire("Ines Moreau", "manager", reception.there)
    await reception.hire("Tariq Aziz", "admin")
    invitation = await reception.invite()
    app, roster = reception.application()
    await roster.refresh()
    async with serving(app) as url:
        yield House(url, email, PASSWORD, invitation, reception)


async def check(watched: Watched, where: str) -> None:
    assert await watched.faults() == [], where
    assert await watched.sideways() <= 0, where


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_the_pages_before_sign_in_have_no_fault(window: Window, house: House, look: Look) -> None:
    async with window(house.url, look) as watched:
        for path, status in (
            ("/login", 200),
            (house.invitation, 200),
            ("/reset/over", 410),
            ("/nothing-here", 404),
        ):
            assert await watched.open(path) == status
            await check(watched, path)
        await watched.open("/login")
        await watched.page.fill("#email", house.email)
        await watched.page.fill("#password", "wrong one")
        await watched.page.press("#password", "Enter")
        await watched.page.get_by_role("alert").wait_for()
        await check(watched, "login with an error")
        await watched.open(house.invitation)
        await watched.page.fill("#name", "Noor")
        await watched.page.fill("#password", "aaaaaaaaaaaaaa")
        await watched.page.press("#password", "Enter")
        await watched.page.locator("#password-error").wait_for()
        await check(watched, "invitation with an error")


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_the_pages_behind_it_have_none_either(window: Window, house: House, look: Look) -> None:
    async with window(house.url, look) as watched:
        await watched.sign_in(house.email, house.password)
        for path, status in (
            ("/inbox", 200),
            ("/account", 200),
            ("/inbox/secret", 403),
            ("/nothing-here", 404),
            ("/inbox/broken", 500),
        ):
            assert await watched.open(path) == status
            await check(watched, path)
        await watched.open("/inbox")
        for menu in (".store", ".user"):
            await watched.page.click(f"{menu} > summary")
            await check(watched, f"with {menu} open")
        await watched.page.get_by_role("button", name="Keyboard shortcuts").click()
        await watched.page.get_by_role("dialog").wait_for()
        await check(watched, "with the keyboard list open")
        await watched.page.keyboard.press("Escape")
        await watched.page.fill("#note", "called the customer twice")
        await watched.page.get_by_role("button", name="Save").click()
        await watched.page.locator("#note-error").wait_for()
        await check(watched, "with an error at a field")
        await watched.page.fill("#note", "called her")
        await watched.page.get_by_role("button", name="Save").click()
        await watched.page.get_by_role("button", name="Undo").wait_for()
        await check(watched, "with a notice")


async def test_a_narrow_phone_does_not_scroll_sideways(window: Window, house: House) -> None:
    async with window(house.url, Look(width=320)) as watched:
        await watched.sign_in(house.email, house.password)
        for path in ("/inbox", "/account", "/inbox/secret"):
            await watched.open(path)
            assert await watched.sideways() <= 0, path


async def focus(watched: Watched) -> str:
    return str(await watched.page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))


async def test_all_of_it_works_with_the_keyboard_alone(window: Window, house: House) -> None:
    async with window(house.url) as watched:
        page, keys = watched.page, watched.page.keyboard
        await watched.open("/inbox")
        assert 'id="email"' in await focus(watched)
        await keys.type(house.email)
        await keys.press("Tab")
        await keys.type(house.password)
        await keys.press("Enter")
        await watched.arrive("/inbox")

        await keys.press("Tab")
        assert "Skip to content" in await focus(watched)
        await keys.press("Tab")
        await keys.press("Tab")
        assert "Harbour Goods" in await focus(watched)
        await keys.press("Enter")
        assert await page.locator(".store[open]").count() == 1
        await keys.press("Escape")
        assert await page.locator(".store[open]").count() == 0
        assert "<summary" in await focus(watched)

        await keys.press("?")
        assert await page.get_by_role("dialog").is_visible()
        await keys.press("Escape")
        assert not await page.get_by_role("dialog").is_visible()

        await watched.open("/account")
        await keys.press("g")
        await keys.press("i")
        await watched.arrive("/inbox")

        await page.focus("#note")
        await keys.type("?gi")
        assert not await page.get_by_role("dialog").is_visible()
        assert "?gi" in await page.input_value("#note")


async def test_shortcuts_can_be_turned_off_for_good(window: Window, house: House) -> None:
    async with window(house.url) as watched:
        await watched.sign_in(house.email, house.password)
        await watched.open("/account")
        await watched.page.uncheck("#shortcuts-on")
        await watched.page.get_by_role("button", name="Save").click()
        await watched.page.get_by_text("Saved.").wait_for()
    async with window(house.url) as watched:
        await watched.sign_in(house.email, house.password)
        await watched.page.keyboard.press("?")
        assert not await watched.page.get_by_role("dialog").is_visible()


async def test_without_scripts_everything_is_still_there(window: Window, house: House) -> None:
    async with window(house.url, Look(scripts=False)) as watched:
        page = watched.page
        await watched.sign_in(house.email, house.password)
        assert not await page.get_by_role("button", name="Keyboard shortcuts").is_visible()
        await page.click(".store > summary")
        await page.get_by_role("button", name="Harbour Outlet").click()
        await watched.arrive("/inbox")
        assert "Harbour Outlet" in await page.title()
        assert await watched.open("/inbox/secret") == 200
        await page.fill("#note", "called her")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Undo").click()
        await page.get_by_role("status").get_by_text("Saved for").wait_for()
        await page.click(".user > summary")
        await page.get_by_role("button", name="Sign out").click()
        await watched.arrive("/login")


async def test_after_signing_out_the_way_back_shows_nothing(window: Window, house: House) -> None:
    async with window(house.url) as watched:
        await watched.sign_in(house.email, house.password)
        await watched.page.click(".user > summary")
        await watched.page.get_by_role("button", name="Sign out").click()
        await watched.arrive("/login")
        await watched.page.go_back()
        await watched.arrive("/login?next=/inbox")
        assert "Ines" not in await watched.page.content()
