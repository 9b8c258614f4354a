"""Alerts by e-mail, to a real SMTP server."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.notifier.desk import Desk
from tests.integration.notifier.mail import Mailbox, certificates, only
from tests.integration.notifier.sending import delivering, sections, settled

CARE = sections(care={"kind": "email", "to": ["care@example.com"], "to_owner": True})


def by(mailbox: Mailbox, **given: Any) -> dict[str, Any]:
    return {
        "smtp_host": "localhost",
        "smtp_port": mailbox.port,
        "smtp_tls": "none",
        "send_timeout_seconds": 5,
        "connect_timeout_seconds": 5,
        "lease_seconds": 15,
        **given,
    }


class TestAnEmail:
    async def test_arrives_with_the_case_behind_a_link(self, desk: Desk) -> None:
        desk.alerts = CARE
        await desk.apply(desk.submitted(2, comment="It came <late>\r\nBcc: all@example.com"))
        async with Mailbox() as mailbox, delivering(desk, **by(mailbox)):
            [row] = await settled(desk, "sent")

        [mail], [envelope] = mailbox.mails, mailbox.envelopes
        case = await desk.case()
        plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
        assert plain is not None
        assert page is not None
        assert f"https://feedback.example/inbox/{case['case_id']}" in plain.get_content()
        assert "It came &lt;late&gt;" in page.get_content()
        assert mail["Bcc"] is None
        assert envelope.rcpt_tos == ["care@example.com"]
        assert envelope.mail_from == "alerts@feedback.example"
        assert mail["Message-ID"] == f"<{row['delivery_id']}@feedback.example>"
        assert (row["last_status"], row["last_error"]) == (250, "")

    async def test_goes_to_the_owner_as_well(self, desk: Desk) -> None:
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        await desk.rows(
            "UPDATE notifier.cases SET owner = 'kim@example.com' WHERE store = :store RETURNING 1"
        )
        async with Mailbox() as mailbox, delivering(desk, **by(mailbox)):
            await settled(desk, "sent")
        assert mailbox.envelopes[0].rcpt_tos == ["care@example.com", "kim@example.com"]

    async def test_to_nobody_is_dead_and_says_so(self, desk: Desk) -> None:
        desk.alerts = sections(care={"kind": "email", "to_owner": True})
        await desk.apply(desk.submitted(2))
        async with Mailbox() as mailbox, delivering(desk, **by(mailbox)):
            [row] = await settled(desk, "dead")
        assert "nobody to write to" in row["last_error"]
        assert mailbox.tried == 0

    async def test_is_tried_again_under_the_same_id_when_the_server_asks_for_it(self, desk: Desk) -> None:
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        async with (
            Mailbox(["451 greylisted", "452 full", "250 taken"]) as mailbox,
            delivering(desk, **by(mailbox)),
        ):
            [row] = await settled(desk, "sent")
        assert (mailbox.tried, row["attempt"]) == (3, 3)
        assert mailbox.mails[0]["Message-ID"] == f"<{row['delivery_id']}@feedback.example>"

    async def test_that_the_server_refuses_for_good_is_dead_with_its_words(self, desk: Desk) -> None:
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        async with (
            Mailbox(["554 5.7.1 looks like spam " + "x" * 400]) as mailbox,
            delivering(desk, **by(mailbox)),
        ):
            [row] = await settled(desk, "dead")
        assert (row["attempt"], row["last_status"]) == (1, 554)
        assert row["last_reply"].startswith("5.7.1 looks like spam")
        assert len(row["last_reply"]) == 256

    async def test_that_one_of_two_mailboxes_refuses_reached_the_other(self, desk: Desk) -> None:
        desk.alerts = sections(care={"kind": "email", "to": ["gone@example.com", "care@example.com"]})
        await desk.apply(desk.submitted(2))
        async with (
            Mailbox(rcpt={"gone@example.com": "550 no such user"}) as mailbox,
            delivering(desk, **by(mailbox)),
        ):
            [row] = await settled(desk, "sent")
        assert mailbox.envelopes[0].rcpt_tos == ["care@example.com"]
        assert row["last_error"] == "1 of the recipients refused, 550"

    async def test_waits_for_a_server_that_is_away(self, desk: Desk) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        async with Mailbox() as mailbox, delivering(desk, **by(mailbox) | {"smtp_port": port}):
            [row] = await settled(desk, "dead")
        assert row["attempt"] == 10
        assert "SMTPConnectError" in row["last_error"]


@pytest.fixture(scope="module")
def certified(need: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Any:
    need("openssl")
    return certificates(tmp_path_factory.mktemp("certificates"))


class TestSecurity:
    async def test_starttls_and_sign_in(self, desk: Desk, certified: Any) -> None:
        authority, context = certified
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        given = {"tls_context": context, "require_starttls": True, "auth_required": True}
        async with Mailbox(given={**given, "authenticator": only("me", "secret")}) as mailbox:
            signed_in = {"smtp_username": "me", "smtp_password": "secret", "smtp_tls": "starttls"}
            async with delivering(desk, **by(mailbox, **signed_in, ca_file=authority)):
                await settled(desk, "sent")
        assert mailbox.secured == 1

    async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
        self, desk: Desk, certified: Any
    ) -> None:
        _, context = certified
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        async with (
            Mailbox(given={"tls_context": context}) as mailbox,
            delivering(desk, **by(mailbox, smtp_tls="starttls")),
        ):
            [row] = await settled(desk, "dead")
        assert mailbox.tried == 0
        assert row["last_error"]

    async def test_a_server_without_tls_gets_no_mail(self, desk: Desk) -> None:
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        async with Mailbox() as mailbox, delivering(desk, **by(mailbox, smtp_tls="starttls")):
            await settled(desk, "dead")
        assert mailbox.tried == 0

    async def test_a_wrong_password_is_tried_again_and_never_logged(
        self, desk: Desk, certified: Any, tmp_path: Path
    ) -> None:
        authority, context = certified
        desk.alerts = CARE
        await desk.apply(desk.submitted(2))
        given = {"tls_context": context, "auth_required": True, "authenticator": only("me", "secret")}
        async with Mailbox(given=given) as mailbox:
            wrong = {"smtp_username": "me", "smtp_password": "canary", "smtp_tls": "starttls"}
            async with delivering(desk, **by(mailbox, **wrong, ca_file=authority)):
                [row] = await settled(desk, "dead")
        assert row["attempt"] == 10, "it says something about the account, not about the mail"
        assert row["last_status"] == 535
        assert "canary" not in f"{row['last_error']}{row['last_reply']}"
