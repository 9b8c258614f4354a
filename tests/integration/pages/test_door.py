"""What keeps pages apart: forms of others, roles, stores; and how refusals look to whom."""

import re

import httpx
import pytest

from shared.http.headers import CSP
from tests.integration.pages.reception import PASSWORD, Reception, Visitor, token


@pytest.fixture
async def ines(reception: Reception, visitor: Visitor) -> Visitor:
    await visitor.sign_in(await reception.hire())
    return visitor


class TestForms:
    async def test_a_form_with_its_token_is_taken_and_the_notice_is_shown_once(
        self, ines: Visitor, reception: Reception
    ) -> None:
        done = await ines.send("/inbox/save", "/inbox", note="called her", case=["1", "2"])
        assert (done.status_code, done.headers["location"]) == (303, "/inbox")
        page = (await ines.open("/inbox")).text
        assert f"Saved for {reception.here}." in page
        assert '<input type="hidden" name="case" value="2">' in page
        assert "Saved for" not in (await ines.open("/inbox")).text

    @pytest.mark.parametrize("sent", ["", "wrong", "ü"])
    async def test_a_wrong_token_changes_nothing_and_says_what_to_do(self, ines: Visitor, sent: str) -> None:
        page = await ines.post("/inbox/save", csrf=sent, note="called her")
        assert page.status_code == 403
        assert "This form is too old" in page.text
        assert "Nothing was changed" in page.text
        assert "Saved for" not in (await ines.open("/inbox")).text

    async def test_the_token_of_another_session_is_wrong(self, ines: Visitor) -> None:
        before = token(await ines.open("/inbox"))
        await ines.send("/logout", "/inbox")
        page = await ines.post("/inbox/save", csrf=before, note="x")
        assert page.status_code == 401
        assert "You are signed out" in page.text
        page = await ines.post("/login", csrf=before, email="a@b.example", password=PASSWORD)
        assert page.status_code == 403

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "same-origin"}, 303),
            ({"Origin": "http://toy.example"}, 303),
        ],
    )
    async def test_a_form_from_elsewhere_is_refused_even_with_the_token(
        self, ines: Visitor, headers: dict[str, str], status: int
    ) -> None:
        done = await ines.send("/inbox/save", "/inbox", headers, note="called her")
        assert done.status_code == status

    async def test_a_sign_in_needs_the_page_that_was_shown_to_this_browser(
        self, reception: Reception, visitor: Visitor
    ) -> None:
        email = await reception.hire()
        shown = token(await visitor.open("/login"))
        visitor.client.cookies.clear()
        page = await visitor.post("/login", csrf=shown, email=email, password=PASSWORD)
        assert page.status_code == 403

    async def test_a_text_that_is_too_long_is_kept_and_told_at_its_field(self, ines: Visitor) -> None:
        page = await ines.send("/inbox/save", "/inbox", note="<script>alert(1)</script>")
        assert page.status_code == 422
        assert "At most 20 characters; this has 25." in page.text
        assert "&lt;script&gt;alert(1)" in page.text
        assert 'aria-invalid="true"' in page.text

    async def test_what_is_no_form_is_told_so(self, ines: Visitor) -> None:
        sent = await ines.client.post("/inbox/save", json={"note": "x"})
        assert sent.status_code == 415
        sent = await ines.client.post(
            "/inbox/save",
            content=b"note=%ff",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert sent.status_code == 400


class TestRolesAndStores:
    async def test_a_role_that_is_too_low_is_told_who_can_help(
        self, ines: Visitor, reception: Reception
    ) -> None:
        await reception.hire("Tariq Aziz", "admin")
        await ines.send("/account", "/account", name="Ines M", shortcuts="on")  # reads the roster again
        page = await ines.open("/inbox/secret")
        assert page.status_code == 403
        text = re.sub(r"\s+", " ", page.text)
        assert "Your role does not open this page" in text
        assert "You are signed in as Ines M, agent of Harbour Goods. This page is for managers." in text
        assert "Tariq Aziz can give you that role." in text

    async def test_another_store_does_not_exist(self, ines: Visitor, reception: Reception) -> None:
        page = await ines.open(f"/inbox?store={reception.there}")
        assert page.status_code == 404
        assert "Harbour Outlet" not in page.text
        done = await ines.send("/store", "/inbox", store=reception.there)
        assert done.status_code == 404
        page = await ines.open("/inbox", Cookie=f"closeloop_store={reception.there}")
        assert "Harbour Outlet" not in page.text

    async def test_the_switcher_changes_the_store_until_it_is_changed_again(
        self, reception: Reception, visitor: Visitor
    ) -> None:
        await reception.hire()
        await visitor.sign_in(await reception.hire(store=reception.there, role="manager"))
        assert "Ines Moreau, agent" in (await visitor.open("/inbox")).text
        done = await visitor.send("/store", "/inbox", store=reception.there)
        assert (done.status_code, done.headers["location"]) == (303, "/inbox")
        page = await visitor.open("/inbox/secret")
        assert page.status_code == 200
        assert "<title>Toy · Harbour Outlet · Closeloop</title>" in page.text
        again = await visitor.open(f"/inbox?store={reception.here}")
        assert "<title>Toy · Harbour Goods · Closeloop</title>" in again.text

    async def test_who_belongs_to_no_store_is_told_so(self, reception: Reception, visitor: Visitor) -> None:
        await visitor.sign_in(await reception.hire(store="gone-from-the-file"))
        page = await visitor.open("/inbox")
        assert page.status_code == 403
        assert "You do not work for a store yet" in page.text


class TestRefusals:
    async def test_a_browser_sees_a_page_and_a_program_a_problem(self, ines: Visitor) -> None:
        page = await ines.open("/nothing-here")
        assert page.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
        assert "There is no such page" in page.text
        assert "Ines Moreau" in page.text
        problem = await ines.client.get("/nothing-here")
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["status"] == 404

    async def test_an_address_of_the_api_answers_programs_whatever_they_accept(self, ines: Visitor) -> None:
        problem = await ines.open("/v1/nothing")
        assert problem.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
    async def test_scripts_and_streams_are_told_that_they_are_signed_out(
        self, visitor: Visitor, accept: str
    ) -> None:
        problem = await visitor.client.get("/inbox", headers={"Accept": accept})
        assert problem.status_code == 401
        assert problem.json()["type"] == "urn:closeloop:problem:signed-out"

    async def test_a_bug_shows_a_reference_and_nothing_of_itself(self, ines: Visitor) -> None:
        page = await ines.open("/inbox/broken")
        assert page.status_code == 500
        assert "Something broke on our side" in page.text
        assert "a bug" not in page.text
        reference = re.search(r'<code class="ref">([0-9a-f]{32})</code>', page.text)
        assert reference
        assert reference[1] in page.headers["traceparent"]

    async def test_a_form_that_is_far_too_large_is_a_page_too(self, ines: Visitor) -> None:
        page = await ines.post("/inbox/save", note="x" * 300_000)
        assert page.status_code == 413
        assert "This is too large" in page.text


class TestHeaders:
    @pytest.mark.parametrize("path", ["/login", "/inbox", "/inbox/secret", "/nothing-here", "/account"])
    async def test_every_page_has_them(self, ines: Visitor, path: str) -> None:
        guarded(await ines.open(path))

    async def test_no_page_has_a_script_or_a_style_of_its_own_or_a_foreign_host(self, ines: Visitor) -> None:
        for path in ("/inbox", "/account", "/inbox/secret", "/reset/x"):
            text = (await ines.open(path)).text
            assert "style=" not in text
            assert "<style" not in text
            assert not re.search(r"\son[a-z]+=", text)
            assert not re.search(r"<script(?![^>]*\ssrc=\"/assets/)", text)
            assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


class TestAssets:
    async def test_they_are_kept_for_ever_under_the_address_of_their_content(self, visitor: Visitor) -> None:
        text = (await visitor.open("/login")).text
        [address] = re.findall(r'href="(/assets/[0-9a-f]{16}/closeloop\.css)"', text)
        sheet = await visitor.open(address)
        assert sheet.status_code == 200
        assert sheet.headers["content-type"] == "text/css; charset=utf-8"
        assert sheet.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert sheet.headers["x-content-type-options"] == "nosniff"
        assert sheet.headers["content-encoding"] == "gzip"
        assert ":root" in sheet.text
        plain = await visitor.open(address, **{"Accept-Encoding": "identity"})
        assert plain.content == sheet.content

        old = await visitor.open(re.sub(r"[0-9a-f]{16}", "0" * 16, address))
        assert old.headers["cache-control"] == "no-cache"
        script = await visitor.open(address.replace("closeloop.css", "keys.js"))
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"

    @pytest.mark.parametrize("name", ["nothing.css", "..%2f..%2fpages.py", "%2e%2e"])
    async def test_nothing_else_is_served(self, visitor: Visitor, name: str) -> None:
        assert (await visitor.open(f"/assets/0/{name}")).status_code == 404


class TestAccount:
    async def test_name_and_shortcuts_are_kept(self, ines: Visitor) -> None:
        assert 'data-keys="on"' in (await ines.open("/inbox")).text
        done = await ines.send("/account", "/account", name="Ines <Moreau>")
        assert done.status_code == 303
        page = (await ines.open("/account")).text
        assert "Saved." in page
        assert "Ines &lt;Moreau&gt;" in page
        assert 'data-keys="off"' in page

    async def test_an_empty_name_is_refused(self, ines: Visitor) -> None:
        page = await ines.send("/account", "/account", name="  ")
        assert page.status_code == 422
        assert "Enter your name." in page.text

    async def test_a_new_password_needs_the_current_one(self, ines: Visitor, reception: Reception) -> None:
        wrong = await ines.send("/account/password", "/account", current="no", password="five calm otters")
        assert wrong.status_code == 422
        assert "This is not your current password." in wrong.text
        done = await ines.send("/account/password", "/account", current=PASSWORD, password="five calm otters")
        assert done.status_code == 303
        assert "signed out everywhere else" in (await ines.open("/account")).text
        await ines.send("/logout", "/inbox")
        assert (await ines.sign_in(reception.email(), PASSWORD)).status_code == 401
        assert (await ines.sign_in(reception.email(), "five calm otters")).status_code == 303

    async def test_signing_out_everywhere_ends_the_other_session_too(
        self, ines: Visitor, reception: Reception, visitors: object
    ) -> None:
        assert callable(visitors)
        other: Visitor = visitors()
        await other.sign_in(reception.email())
        done = await ines.send("/account/sign-out", "/account")
        assert done.headers["location"] == "/login"
        assert (await other.open("/inbox")).status_code == 303


def guarded(page: httpx.Response) -> None:
    assert page.headers["content-security-policy"] == CSP
    assert "unsafe" not in CSP
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
