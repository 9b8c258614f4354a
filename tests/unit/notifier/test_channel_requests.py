"""What channels send, and where they may."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifier.channels import Forbidden, Message, check_target, slack, webhook
from services.notifier.channels.target import is_public
from services.notifier.domain import Case, Person, Priority, Status, Submitted, fold
from services.notifier.settings import Channel, Kind

NOW = datetime.now(UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = Channel(kind=Kind.WEBHOOK, url="https://example.com", secret=SecretStr(SECRET))
CHAT = Channel(kind=Kind.SLACK, url="https://example.com")


def message(comment: str = "late", name: str = "Ann", reason: str = "opened") -> Message:
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
    return Message("msg-1", reason, NOW, case, answer, "Gold", (), "https://x/v1/cases/case-1", "00-a-b-01")


class TestTheWebhook:
    def test_is_verified_by_the_official_library(self) -> None:
        request = webhook.build(message(), HOOK, NOW)
        payload = Webhook(SECRET).verify(request.body, dict(request.headers))
        assert payload["data"]["answer"]["comment"] == "late"

    def test_of_one_other_bit_or_id_is_refused(self) -> None:
        request = webhook.build(message(), HOOK, NOW)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body.replace(b"late", b"lbte"), dict(request.headers))
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(request.body, {**request.headers, "webhook-id": "msg-2"})

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [("opened", "case.opened"), ("reopened:r", "case.reopened"), ("raised:high", "case.raised")],
    )
    def test_says_why_it_comes(self, reason: str, kind: str) -> None:
        assert orjson.loads(webhook.build(message(reason=reason), HOOK, NOW).body)["type"] == kind


class TestSlack:
    @pytest.mark.parametrize(
        "text",
        ["<!channel>", "<@U1> hi", "<https://evil.example|click>", "a & b", "\u202e\x07x", "z" * 10_000],
    )
    def test_what_customers_write_stays_text(self, text: str) -> None:
        body = slack.build(message(comment=text, name=text), CHAT, NOW).body.decode()

        assert "<!" not in body
        assert "<@" not in body
        assert "<https://evil" not in body
        assert "\u202e" not in body
        assert len(body) < 4000

    def test_keeps_within_the_limits_of_its_elements(self) -> None:
        built = orjson.loads(slack.build(message(comment="&" * 10_000, name="&" * 500), CHAT, NOW).body)
        for block in built["blocks"]:
            if block["type"] == "header":
                assert len(block["text"]["text"]) <= 150
            for field in block.get("fields", []):
                assert len(field["text"]) <= 2000
            assert len(block.get("text", {}).get("text", "")) <= 3000

    def test_marks_a_customer_who_was_only_claimed(self) -> None:
        unverified = replace(message(), case=replace(message().case, verified=False))
        assert b"(unverified)" in slack.build(unverified, CHAT, NOW).body


class TestTargets:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1%eth0",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ],
    )
    def test_that_are_not_of_the_open_internet(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1"])
    def test_that_are(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://localhost./",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest",
            "http://1.1.1.1/",
            "https://1.1.1.1:8443/",
            "https://user:pw@1.1.1.1/",
            "ftp://1.1.1.1/",
            "https:///nothing",
        ],
    )
    async def test_that_are_refused(self, url: str) -> None:
        with pytest.raises(Forbidden):
            await check_target(url, allow_private=False)

    async def test_that_are_allowed(self) -> None:
        await check_target("https://1.1.1.1/hook", allow_private=False)
        await check_target("http://127.0.0.1:8009/alerts", allow_private=True)

    async def test_a_trial_allows_no_other_scheme(self) -> None:
        with pytest.raises(Forbidden):
            await check_target("ftp://127.0.0.1/", allow_private=True)
