"""What channels send."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import orjson
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifier.cases.domain.answers import Person, Submitted, fold
from services.notifier.cases.domain.case import Case, Priority, Status
from services.notifier.channels import slack, webhook
from services.notifier.channels.mail import compose
from services.notifier.channels.message import CaseMessage, Item, NoticeMessage, Shop
from services.notifier.deliveries.settings import Channel, ChannelKind

NOW = datetime.now(UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = webhook.request_builder(
    Channel(kind=ChannelKind.WEBHOOK, url="https://example.com", secret=SecretStr(SECRET))
)
SHOP = Shop("s", "Shop", ZoneInfo("Europe/Amsterdam"), "https://x.example")
NASTY = [
    "<!channel>",
    "<@U1> hi",
    "<https://evil.example|click>",
    "a & b",
    "\u202e\x07x",
    "one\r\nBcc: all@example.com\r\n\r\n<script>alert(1)</script>",
    "z" * 10_000,
]


def notice(items: int = 0) -> NoticeMessage:
    listed = tuple(Item(f"Ann <{n}>, NPS 2", f"https://x.example/inbox/{n}") for n in range(items))
    return NoticeMessage(
        "msg-2", "digest:s:chat:1", "digest", "60 more alerts", {"text": "All at once.", "facts": {"a": 1}},
        "/inbox", NOW, SHOP, listed, 10, "00-a-b-01",
    )  # fmt: skip


def message(comment: str = "late", name: str = "Ann", reason: str = "opened") -> CaseMessage:
    body = Submitted("e", NOW, NOW, "nps", "0-10", 2, Person("ref", "c-1", None, name), comment=comment)
    case = Case(
        case_id="case-1",
        store="s",
        customer_ref="ref",
        response_id="r",
        status=Status.OPEN,
        priority=Priority.URGENT,
        rule="furious",
        config_version="v",
        verified=True,
        opened_at=NOW,
        first_contact_due_at=NOW,
        resolve_due_at=NOW,
        resolve_hours=1,
    )
    answer = fold("r", [body])
    return CaseMessage("msg-1", reason, NOW, SHOP, case, answer, "Gold", (), "00-a-b-01")


class TestTheWebhook:
    def test_is_verified_by_the_official_library(self) -> None:
        # Signed at this moment: the library refuses what is older than five minutes, and this file may be
        # imported long before the test runs.
        request = HOOK(message(), datetime.now(UTC))
        payload = Webhook(SECRET).verify(request.body, dict(request.headers))
        assert payload["data"]["answer"]["comment"] == "late"

    def test_of_one_other_bit_or_id_is_refused(self) -> None:
        request = HOOK(message(), NOW)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body.replace(b"late", b"lbte"), dict(request.headers))
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body, {**request.headers, "webhook-id": "msg-2"})

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [("opened", "case.opened"), ("reopened:r", "case.reopened"), ("raised:high", "case.raised")],
    )
    def test_says_why_it_comes(self, reason: str, kind: str) -> None:
        assert orjson.loads(HOOK(message(reason=reason), NOW).body)["type"] == kind


class TestSlack:
    @pytest.mark.parametrize(
        "text",
        NASTY,
    )
    def test_what_customers_write_stays_text(self, text: str) -> None:
        body = slack.build(message(comment=text, name=text), NOW).body.decode()

        assert "<!" not in body
        assert "<@" not in body
        assert "<https://evil" not in body
        assert "\u202e" not in body
        assert len(body) < 4000

    def test_keeps_within_the_limits_of_its_elements(self) -> None:
        built = orjson.loads(slack.build(message(comment="&" * 10_000, name="&" * 500), NOW).body)
        for block in built["blocks"]:
            if block["type"] == "header":
                assert len(block["text"]["text"]) <= 150
            for field in block.get("fields", []):
                assert len(field["text"]) <= 2000
            assert len(block.get("text", {}).get("text", "")) <= 3000

    def test_marks_a_customer_who_was_only_claimed(self) -> None:
        answer = message().answer
        assert answer is not None
        unverified = replace(message(), answer=replace(answer, body=replace(answer.body, verified=False)))
        assert b"(unverified)" in slack.build(unverified, NOW).body

    def test_lists_what_a_digest_names_in_sections_that_fit(self) -> None:
        built = orjson.loads(slack.build(notice(50), NOW).body)
        texts = [block["text"]["text"] for block in built["blocks"] if "text" in block]
        assert max(map(len, texts)) <= 3000
        assert sum(text.count("https://x.example/inbox/") for text in texts) == 50
        assert "<https://x.example/inbox/7|Ann &lt;7&gt;, NPS 2>" in "".join(texts)
        assert "and 10 more" in "".join(texts)
        assert len(built["blocks"]) <= 50


class TestEmail:
    @pytest.mark.parametrize("text", NASTY)
    def test_what_customers_write_stays_text_and_adds_no_header(self, text: str) -> None:
        mail = compose(message(comment=text, name=text), "Care <c@x.example>", ["a@x.example"], NOW)

        assert mail["To"] == "a@x.example"
        assert mail["Bcc"] is None
        assert len(mail["Subject"]) <= 180
        page = mail.get_body(("html",))
        plain = mail.get_body(("plain",))
        assert page is not None
        assert plain is not None
        assert "<script" not in page.get_content()
        assert "<!channel" not in page.get_content()
        for part in (plain.get_content(), page.get_content(), mail["Subject"]):
            assert "\u202e" not in part
            assert "\x07" not in part
        assert len(mail.as_bytes()) < 30_000

    def test_is_one_conversation_for_a_case_and_the_same_mail_at_every_attempt(self) -> None:
        def mail(reason: str, message_id: str = "msg-1") -> EmailMessage:
            said = replace(message(reason=reason), id=message_id)
            return compose(said, "Care <c@x.example>", ["a@x.example"], NOW)

        first, again, later = mail("opened"), mail("opened"), mail("reopened:r", "msg-9")
        assert first["Message-ID"] == again["Message-ID"] == "<msg-1@x.example>"
        assert later["Message-ID"] != first["Message-ID"]
        assert later["References"] == first["References"] == "<case-1.thread@x.example>"
        assert later["Subject"] == first["Subject"]
        assert first["Auto-Submitted"] == "auto-generated"

    def test_leads_straight_into_the_case(self) -> None:
        text = compose(message(), "c@x.example", ["a@x.example"], NOW).as_string()
        assert text.count("https://x.example/inbox/case-1") == 2

    def test_tells_a_notice_with_its_list(self) -> None:
        mail = compose(notice(3), "c@x.example", ["a@x.example"], NOW)
        plain = mail.get_body(("plain",))
        assert plain is not None
        assert "https://x.example/inbox/2" in plain.get_content()
        assert "and 10 more" in plain.get_content()
        assert mail["Subject"] == "[Shop] 60 more alerts"
