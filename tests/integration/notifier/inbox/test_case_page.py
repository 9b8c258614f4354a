"""The page of a case and its forms, as a browser gets them."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from shared.events.responses import AboutOrder
from tests.integration.notifier.agent import employ
from tests.integration.notifier.inbox_pages import PAGE, Agent, Branch, version_of


@pytest.fixture
async def case_id(branch: Branch) -> str:
    return await branch.open(
        "Amélie Laurent",
        comment="Two weeks late",
        order=AboutOrder(id="HG-48213", value="128.50", currency="EUR"),
    )


class TestThePage:
    async def test_says_what_is_known(self, branch: Branch, noor: Agent, case_id: str) -> None:
        await branch.desk.apply(branch.desk.standing(customer=(await branch.case(case_id))["customer_ref"]))

        page = await noor.get(f"/inbox/{case_id}")

        for words in (
            "Amélie Laurent", "order HG-48213", "Two weeks late", "128.50\u00a0EUR", "Due in 23 h", "Gold",
            "vip", "24 hours to first contact", "Case opened, normal", "Webhook alerts", "Nobody yet",
        ):  # fmt: skip
            assert words in page.text

    async def test_marks_a_customer_whom_nobody_verified(self, branch: Branch, noor: Agent) -> None:
        page = await noor.get(f"/inbox/{await branch.open(verified=False)}")
        assert "Not verified: only a browser said who this is." in page.text

    async def test_hostile_texts_are_texts(self, branch: Branch, noor: Agent) -> None:
        case_id = await branch.open("</title><script>x</script>", comment="<script>alert(1)</script>")
        await noor.act(case_id, "note", text="</textarea><img src=x>")

        page = await noor.get(f"/inbox/{case_id}")

        assert "<script>" not in page.text
        assert "<img" not in page.text

    async def test_an_address_adds_nothing_to_the_mail_that_is_written_to_it(
        self, branch: Branch, noor: Agent
    ) -> None:
        case_id = await branch.open(
            email="v+1@shop.example?bcc=spy%40evil.example&body=hello", verified=False
        )
        page = await noor.get(f"/inbox/{case_id}")
        assert 'href="mailto:v%2B1@shop.example%3Fbcc%3Dspy%2540evil.example%26body%3Dhello"' in page.text

    async def test_another_stores_case_is_not_there(
        self, branch: Branch, noor: Agent, case_id: str, client: httpx.AsyncClient
    ) -> None:
        page = await noor.get(f"/inbox/{case_id}")
        await branch.hire("David Osei", store=branch.there)
        client.cookies.clear()
        await noor.sign_in(branch.email("David"))
        own = await noor.get("/inbox")

        assert (await noor.get(f"/inbox/{case_id}")).status_code == 404
        for action in ("note", "take", "watch", "replay"):
            sent = await noor.post(
                f"/inbox/{case_id}/{action}", own, version=version_of(page), text="x", delivery="x"
            )
            assert sent.status_code == 404
        assert "Two weeks late" not in (await noor.get("/inbox", q="late", view="all")).text

    async def test_a_link_finds_the_case_in_whichever_store_is_theirs(
        self, branch: Branch, noor: Agent, case_id: str
    ) -> None:
        await branch.hire("Noor Bakker", store=branch.there)
        noor.client.cookies.set("closeloop_store", branch.there)
        led = await noor.client.get(f"/inbox/{case_id}", headers=PAGE)
        assert led.headers["location"] == f"/inbox/{case_id}?store={branch.here}"

    @pytest.mark.parametrize("case_id", ["x", "0" * 36, "%27", "a" * 80, "ü"])
    async def test_what_is_no_case_is_404(self, noor: Agent, case_id: str) -> None:
        assert (await noor.get(f"/inbox/{case_id}")).status_code == 404

    async def test_next_and_previous_follow_the_list(self, branch: Branch, noor: Agent) -> None:
        ids = [await branch.open(name) for name in ("One", "Two", "Three")]
        for hours, case_id in enumerate(ids, 1):
            await branch.set(case_id, f"first_contact_due_at = now() + interval '{hours} h'")
        page = await noor.get("/inbox")
        middle = next(
            part.split('"')[0] for part in page.text.split('href="') if part.startswith(f"/inbox/{ids[1]}")
        )

        shown = await noor.get(middle.replace("&amp;", "&"))

        assert "2 of 3" in shown.text
        assert f'href="/inbox/{ids[0]}?' in shown.text
        assert f'href="/inbox/{ids[2]}?' in shown.text


class TestWorkingACase:
    async def test_from_open_to_closed(self, branch: Branch, noor: Agent, case_id: str) -> None:
        for action, fields in (
            ("take", {}),
            ("note", {"text": "Parcel damaged at the hub"}),
            ("contact", {"how": "phone", "text": "Apologised"}),
            ("resolve", {"root_cause": "Carrier delay", "outcome": "recovered", "text": "Sent again"}),
            ("close", {"root_cause": "Carrier delay", "outcome": "recovered"}),
        ):
            done = await noor.act(case_id, action, **fields)
            assert done.status_code == 303, done.text

        page = await noor.get(f"/inbox/{case_id}")
        for words in (
            "took the case", "added a note", "Parcel damaged at the hub", "contacted the customer",
            "by phone", "Apologised", "resolved it:", "Carrier delay, recovered", "Sent again", "closed it:",
        ):  # fmt: skip
            assert words in page.text
        assert await branch.desk.history() == [
            "opened", "assigned", "noted", "contacted", "resolved", "closed",
        ]  # fmt: skip
        who = await branch.desk.rows(
            "SELECT DISTINCT h.who FROM notifier.history h JOIN notifier.cases c USING (case_id)"
            " WHERE c.store = :store AND h.what <> 'opened'"
        )
        assert who == [{"who": f"user:{branch.email('Noor')}"}]
        assert branch.rung == 5

    async def test_resolving_needs_a_cause_and_an_outcome_and_keeps_the_text(
        self, branch: Branch, noor: Agent, case_id: str
    ) -> None:
        for action in ("resolve", "close"):
            refused = await noor.act(case_id, action, root_cause="", text="Second pair <b>sent</b>")
            assert refused.status_code == 422
            assert "Choose a root cause before you resolve the case." in refused.text
            assert "Choose how it ended." in refused.text
            assert "Second pair &lt;b&gt;sent&lt;/b&gt;" in refused.text
        assert (await branch.case(case_id))["status"] == "open"

    async def test_a_cause_of_ones_own(self, branch: Branch, noor: Agent, case_id: str) -> None:
        await noor.act(case_id, "close", root_cause="", other_cause="Rain", outcome="churned")
        case = await branch.case(case_id)
        assert (case["root_cause"], case["outcome"]) == ("Rain", "churned")

    @pytest.mark.parametrize(
        "until", ["", "soon", "2099-W48-1T10:00", "2020-01-01T00:00", "9999-12-31T23:59", "0001-01-01T00:00"]
    )
    async def test_a_snooze_that_cannot_be(
        self, branch: Branch, noor: Agent, case_id: str, until: str
    ) -> None:
        refused = await noor.act(case_id, "snooze", until=until)
        assert refused.status_code == 422
        assert 'id="until-error"' in refused.text

    async def test_a_snooze_is_in_the_time_of_the_store(
        self, branch: Branch, noor: Agent, case_id: str
    ) -> None:
        day = branch.desk.now + timedelta(days=3)
        await noor.act(case_id, "snooze", until=f"{day:%Y-%m-%d}T09:00")
        until = (await branch.case(case_id))["snoozed_until"]
        assert until.astimezone(branch.stores[branch.here].zone).strftime("%H:%M") == "09:00"
        page = await noor.get(f"/inbox/{case_id}")
        assert "Wake now" in page.text
        await noor.act(case_id, "wake")
        assert (await branch.case(case_id))["status"] == "open"
        assert (await noor.act(case_id, "wake")).status_code == 422

    async def test_what_the_state_does_not_allow_is_said_and_the_text_kept(
        self, branch: Branch, noor: Agent, case_id: str
    ) -> None:
        await noor.act(case_id, "close", root_cause="x", outcome="recovered")
        refused = await noor.act(case_id, "contact", how="phone", text="Hello")
        assert refused.status_code == 409
        assert "The case is closed now" in refused.text

    async def test_assigning_offers_the_way_back(self, branch: Branch, noor: Agent, case_id: str) -> None:
        david = await branch.hire("David Osei")
        await noor.act(case_id, "take")
        await noor.act(case_id, "assign", owner=david)
        page = await noor.get(f"/inbox/{case_id}")
        assert "Assigned to David Osei." in page.text
        assert "Undo" in page.text

        await noor.post(
            f"/inbox/{case_id}/assign", page, version=version_of(page), owner=branch.email("Noor")
        )
        assert (await branch.case(case_id))["owner"] == branch.email("Noor")

    async def test_assigning_to_a_stranger_is_refused(
        self, branch: Branch, noor: Agent, case_id: str
    ) -> None:
        for stranger, said in (("stranger@x.example", "Choose somebody of this store."), ("", "Choose who.")):
            refused = await noor.act(case_id, "assign", owner=stranger)
            assert refused.status_code == 422
            assert "Not saved" in refused.text
            assert said in refused.text
        assert (await noor.act(case_id, "assign", owner="least_loaded")).status_code == 422
        assert (await branch.case(case_id))["owner"] is None

    async def test_the_least_loaded_of_the_team(self, branch: Branch, noor: Agent, case_id: str) -> None:
        await branch.set(case_id, "team = 'care'")
        assert (await noor.act(case_id, "assign", owner="least_loaded")).status_code == 422
        await employ(branch.database, branch.here, "kim@shop.example")
        assert (await noor.act(case_id, "assign", owner="least_loaded")).status_code == 303
        assert (await branch.case(case_id))["owner"] == "kim@shop.example"

    async def test_watching_is_harmless_twice(self, branch: Branch, noor: Agent, case_id: str) -> None:
        for _ in range(2):
            await noor.act(case_id, "watch")
        assert "Stop watching" in (await noor.get(f"/inbox/{case_id}")).text
        await noor.act(case_id, "watch", watching="no")
        assert "Watch this case" in (await noor.get(f"/inbox/{case_id}")).text

    async def test_a_reply_starts_from_its_template(self, noor: Agent, case_id: str) -> None:
        page = await noor.get(f"/inbox/{case_id}", reply="Apology")
        assert "Dear Amélie Laurent, we are sorry about HG-48213.</textarea>" in page.text

    async def test_a_dead_alert_is_sent_again(self, branch: Branch, noor: Agent, case_id: str) -> None:
        [delivery] = await branch.desk.deliveries()
        async with branch.database.transaction() as session:
            await session.execute(
                text("UPDATE notifier.deliveries SET state = 'dead', settled_at = now(), attempt = 8"
                     " WHERE delivery_id = :id"), {"id": delivery["delivery_id"]},
            )  # fmt: skip
        page = await noor.get(f"/inbox/{case_id}")
        assert "Send again" in page.text

        await noor.act(case_id, "replay", delivery=delivery["delivery_id"])

        assert (await branch.desk.deliveries())[0]["state"] == "pending"
        assert "sent the alert to alerts again" in (await noor.get(f"/inbox/{case_id}")).text
        assert branch.rung == 1


class TestTwoAtOnce:
    async def test_the_second_gets_what_changed_and_keeps_the_text(
        self, branch: Branch, noor: Agent, case_id: str, client: httpx.AsyncClient
    ) -> None:
        before = await noor.get(f"/inbox/{case_id}")
        await noor.act(case_id, "take")
        client.cookies.clear()
        await noor.sign_in(await branch.hire("David Osei"))
        page = await noor.get("/inbox")

        refused = await noor.post(
            f"/inbox/{case_id}/contact", page, version=version_of(before), how="chat", text="Said sorry"
        )

        assert refused.status_code == 409
        assert "Noor Bakker changed this case" in refused.text
        assert "Noor Bakker took the case" in refused.text
        assert "Said sorry</textarea>" in refused.text
        assert '<option value="chat" selected>' in refused.text
        assert (await branch.case(case_id))["status"] == "assigned"
        again = await noor.post(
            f"/inbox/{case_id}/contact", refused, version=version_of(refused), how="chat", text="Said sorry"
        )
        assert again.status_code == 303

    async def test_a_form_without_its_version_or_token_changes_nothing(
        self, branch: Branch, noor: Agent, case_id: str, client: httpx.AsyncClient
    ) -> None:
        page = await noor.get(f"/inbox/{case_id}")
        assert (await noor.post(f"/inbox/{case_id}/take", page)).status_code == 422
        bare = await client.post(f"/inbox/{case_id}/take", data={"version": "1"}, headers=PAGE)
        assert bare.status_code == 403
        assert (await branch.case(case_id))["owner"] is None
