"""The inbox and the case in a real browser: every look, the keyboard, two people at once, and no scripts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest
from playwright.async_api import expect

from shared.db import Database
from tests.browser.browsing import LOOKS, Look, Watched, serving
from tests.integration.notifier.inbox_pages import PASSWORD, Branch

Window = Callable[..., AbstractAsyncContextManager[Watched]]

LONG = "Two weeks late & the box was <b>open</b>. \u202eردیف " + "Donaudampfschifffahrt" * 60


@pytest.fixture
def branch(database: Database) -> Branch:
    return Branch(database)


@pytest.fixture
async def url(branch: Branch) -> AsyncIterator[str]:
    app = branch.application()
    await branch.hire("Ines Moreau", role="manager")
    await branch.hire("Noor Bakker")
    async with serving(app) as url:
        yield url


async def enter(watched: Watched, branch: Branch, name: str = "Noor") -> None:
    await watched.sign_in(branch.email(name), PASSWORD)


class TestLooks:
    @pytest.mark.parametrize("look", LOOKS, ids=str)
    async def test_no_look_has_a_fault(self, branch: Branch, url: str, window: Window, look: Look) -> None:
        async with window(url, look) as watched:
            await enter(watched, branch, "Ines")
            assert await watched.open("/inbox") == 200
            assert await watched.faults() == []
            late = await branch.open("Maria-Magdalena " * 5, comment=LONG, verified=False)
            await branch.set(
                late, "first_contact_due_at = now() - interval '70 min', priority = 'urgent', escalated = 1"
            )
            snoozed, closed = await branch.open("Tom"), await branch.open("Ruth")
            day = (branch.desk.now + timedelta(days=2)).isoformat()
            await branch.set(snoozed, f"status = 'snoozed', before_snooze = 'open', snoozed_at = now(),"
                             f" snoozed_until = '{day}', version = 2")  # fmt: skip
            await branch.set(closed, "status = 'closed', closed_at = now(), resolved_at = now(),"
                             " outcome = 'recovered', root_cause = 'Rain'")  # fmt: skip
            for path in ("/inbox", "/inbox?q=nothing", f"/inbox/{late}?do=resolve", f"/inbox/{snoozed}",
                         f"/inbox/{closed}"):  # fmt: skip
                assert await watched.open(path) == 200
                assert (path, await watched.faults()) == (path, [])
                assert (path, await watched.sideways()) == (path, 0)

    @pytest.mark.parametrize("look", LOOKS, ids=str)
    async def test_the_report_has_none_either(
        self, branch: Branch, url: str, window: Window, look: Look
    ) -> None:
        async with window(url, look) as watched:
            await enter(watched, branch, "Ines")
            for closed in (False, True):
                if closed:
                    await branch.set(
                        await branch.open("Ruth"),
                        "status = 'closed', closed_at = now(), resolved_at = now(),"
                        " outcome = 'recovered', root_cause = 'Rain'",
                    )
                assert await watched.open("/inbox/report") == 200
                assert await watched.faults() == []
                assert await watched.sideways() == 0

    async def test_a_small_phone_scrolls_down_only(self, branch: Branch, url: str, window: Window) -> None:
        case_id = await branch.open("X" * 80, comment=LONG)
        async with window(url, Look("light", 320)) as watched:
            await enter(watched, branch, "Ines")
            for path in ("/inbox", f"/inbox/{case_id}?do=resolve"):
                await watched.open(path)
                assert await watched.sideways() == 0


class TestTwoPeople:
    async def test_one_takes_a_case_and_the_other_sees_it(
        self, branch: Branch, url: str, window: Window
    ) -> None:
        case_id = await branch.open("Ruth")
        async with window(url) as noor, window(url) as ines:
            await enter(noor, branch)
            await enter(ines, branch, "Ines")
            await ines.open("/inbox")
            row = ines.page.locator(f"#c-{case_id}")
            await row.locator("input[name=case]").focus()
            await expect(ines.page.locator("[data-live]")).to_contain_text("Live")
            async with ines.page.context.expect_page() as opening:
                await ines.page.evaluate(f"window.open('/inbox/{case_id}')")
            at_case = await opening.value
            await at_case.click("#work-note summary")
            await at_case.fill("#note", "I will call her")

            await noor.open(f"/inbox/{case_id}")
            await noor.page.keyboard.press("t")
            await expect(noor.page.locator(".flash")).to_contain_text("It is yours.")

            await expect(row.locator("[data-cell=owner]")).to_contain_text("Noor Bakker")
            await expect(row.locator("[data-cell=status]")).to_have_text("Assigned")
            assert await ines.page.evaluate("document.activeElement.name") == "case"
            await expect(at_case.locator("[data-case-changed]")).to_contain_text(
                "Noor Bakker changed this case"
            )

            await at_case.click("text=Add note")
            await expect(at_case.locator("[role=alert]")).to_contain_text("Noor Bakker took the case")
            await expect(at_case.locator("#note")).to_have_value("I will call her")
            await at_case.click("text=Add note")
            await expect(at_case.locator(".timeline")).to_contain_text("I will call her")

    async def test_a_new_case_is_announced_and_moves_nothing(
        self, branch: Branch, url: str, window: Window
    ) -> None:
        first = await branch.open("Ruth")
        async with window(url) as watched:
            await enter(watched, branch)
            await watched.open("/inbox")
            await expect(watched.page.locator("[data-live]")).to_contain_text("Live")
            row = watched.page.locator(f"#c-{first}")
            before = await row.bounding_box()
            await watched.page.evaluate(
                "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
                "entry => window.shift += entry.value)).observe({type: 'layout-shift'})"
            )

            branch.desk.now += timedelta(minutes=5)  # after the list was loaded, however long that took
            await branch.open("Tom")
            await expect(watched.page.locator("[data-fresh]")).to_contain_text("1 new case since you opened")

            assert await row.bounding_box() == before
            assert await watched.page.evaluate("window.shift") == 0
            assert await watched.page.locator("tr[data-case]").count() == 1
            await watched.page.click("[data-fresh] a")
            await expect(watched.page.locator("tr[data-case]")).to_have_count(2)


class TestKeyboard:
    async def test_a_case_from_the_inbox_to_its_end(self, branch: Branch, url: str, window: Window) -> None:
        await branch.open("Ruth")
        async with window(url) as watched:
            await enter(watched, branch)
            await watched.open("/inbox")
            page, keys = watched.page, watched.page.keyboard
            await keys.press("j")
            await keys.press("Enter")
            await page.wait_for_url("**/inbox/*-*")
            await keys.press("t")
            await expect(page.locator(".flash")).to_contain_text("It is yours.")
            await keys.press("c")
            await keys.press("Tab")
            await keys.type("Called and said sorry")
            await keys.press("Control+Enter")
            await expect(page.locator(".flash")).to_contain_text("Contact logged.")
            await keys.press("e")
            await keys.type("Carrier")
            await keys.press("Tab")
            await keys.press("Space")
            await keys.press("Control+Enter")
            await expect(page.locator(".flash")).to_contain_text("Resolved.")
            await keys.press("e")
            await keys.press("Control+Enter")
            await expect(page.locator(".flash")).to_contain_text("Closed.")
            await keys.press("u")
            await expect(page.locator("h2", has_text="Nobody is waiting for you")).to_be_visible()
        [case] = await branch.desk.cases()
        assert (case["status"], case["root_cause"], case["outcome"]) == (
            "closed",
            "Carrier delay",
            "recovered",
        )

    async def test_selects_a_range_and_assigns_it(self, branch: Branch, url: str, window: Window) -> None:
        for name in ("One", "Two", "Three"):
            await branch.open(name)
        async with window(url) as watched:
            await enter(watched, branch)
            await watched.open("/inbox")
            keys = watched.page.keyboard
            for key in ("j", "x", "j", "j", "X"):
                await keys.press(key)
            await expect(watched.page.locator("[data-selected]")).to_have_text("3 selected")
            await keys.press("Escape")
            await expect(watched.page.locator("[data-selected]")).to_have_text("0 selected")
            await keys.press("x")
            await keys.press("a")
            assert await watched.page.evaluate("document.activeElement.id") == "assign"
            await keys.press("Tab")
            await keys.press("Enter")
            await expect(watched.page.locator(".flash")).to_contain_text("Assigned 1 case to Noor Bakker.")


class TestWithoutScripts:
    async def test_everything_but_the_live_parts_works(
        self, branch: Branch, url: str, window: Window
    ) -> None:
        await branch.open("Ruth")
        async with window(url, Look(scripts=False)) as watched:
            await enter(watched, branch)
            page = watched.page
            await watched.open("/inbox")
            assert not await page.locator("[data-live]").is_visible()
            await page.check("input[name=case]")
            await page.click("button[value=assign]")
            assert "Assigned 1 case to Noor Bakker." in await page.inner_text(".flash")
            await page.click("[data-open]")
            await page.click("#work-contact summary")
            await page.click("text=Apology")
            assert "Dear Ruth" in await page.input_value("#said")
            await page.click("text=Log contact and stop the first clock")
            await page.click("#work-resolve summary")
            await page.click("text=Resolve and close")
            assert "Choose how it ended." in await page.inner_text("#work-resolve")
            await page.select_option("#cause", "Carrier delay")
            await page.check("input[value=recovered]")
            await page.click("text=Resolve and close")
            assert "Closed." in await page.inner_text(".flash")
