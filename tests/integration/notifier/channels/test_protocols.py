"""Slack, Teams and PagerDuty take what we send, whatever a customer wrote; and what goes wrong is told."""

from typing import Any

import orjson
import pytest

from services.notifier.deliveries import notices
from tests.integration.notifier.desk import SECRET, Desk, timedelta
from tests.integration.notifier.protocols import pagerduty, slack, teams
from tests.integration.notifier.receiver import Receiver, answer
from tests.integration.notifier.sending import check, delivering, sections, settled

KEY = "k" * 32
NASTY = [
    "<b>late</b> <script>alert(1)</script> <!channel> <@U1> *bold* [x](https://evil.example) & `code`",
    "one\r\nBcc: all@example.com\r\n\r\ntwo",
    '"}],"blocks":[{"type":"image"}] \\" {{ 7 * 7 }} {% raw %}',
    "\u202etfel\u2066 \u200e\u200f \u2028\u2029",
    "ä" * 10_000,
]
CHANNELS = {
    "slack": (slack, {"kind": "slack"}),
    "teams": (teams, {"kind": "webhook", "template": "teams.json.j2"}),
    "pagerduty": (
        pagerduty,
        {"kind": "webhook", "template": "pagerduty.json.j2", "values": {"routing_key": KEY}},
    ),
}


@pytest.mark.parametrize("name", list(CHANNELS))
class TestAReceiver:
    async def test_takes_whatever_customers_write(self, desk: Desk, name: str) -> None:
        protocol, channel = CHANNELS[name]
        async with Receiver(protocol=protocol) as receiver:
            desk.alerts = sections(out={**channel, "url": receiver.url})
            for number, comment in enumerate(NASTY):
                who = f"c-{number}"
                await desk.apply(
                    desk.submitted(
                        number, response_id=who, customer=who, comment=comment, touchpoint="support"
                    )
                )
            async with delivering(desk):
                rows = await settled(desk, "sent", count=len(NASTY))
        assert [row["attempt"] for row in rows] == [1] * len(NASTY)
        assert all(b"\\u202e" not in hit.body and "\u202e".encode() not in hit.body for hit in receiver.hits)

    async def test_takes_a_notice(self, desk: Desk, name: str) -> None:
        protocol, channel = CHANNELS[name]
        async with Receiver(protocol=protocol) as receiver:
            desk.alerts = sections(out={**channel, "url": receiver.url})
            items = [{"text": f"Case {n} <x>", "link": f"/inbox/{n}"} for n in range(60)]
            detail = {"text": "It fell by 12.", "facts": {"NPS": "31 (was 43)"}, "items": items}
            new = notices.NewNotice(
                f"n-{desk.store}", desk.store, notices.NoticeKind.SCORE_FELL, "NPS fell", detail, "/x"
            )
            async with desk.database.transaction() as session:
                assert await notices.add(session, new, ["out"], traceparent="00-a-b-01")
                assert not await notices.add(session, new, ["out"], traceparent="00-a-b-01")
            async with delivering(desk):
                await settled(desk, "sent")
        [hit] = receiver.hits
        assert b"https://feedback.example/x" in hit.body
        assert b"https://feedback.example/inbox/49" in hit.body
        assert b"https://feedback.example/inbox/50" not in hit.body
        assert b"and 10 more" in hit.body or name == "pagerduty"


class TestATemplatedWebhook:
    async def test_is_one_incident_for_a_case(self, desk: Desk) -> None:
        protocol, channel = CHANNELS["pagerduty"]
        async with Receiver(protocol=protocol) as receiver:
            desk.alerts = sections(out={**channel, "url": receiver.url})
            await desk.apply(desk.submitted(2))
            async with delivering(desk):
                await settled(desk, "sent")
        body = orjson.loads(receiver.hits[0].body)
        assert body["dedup_key"] == (await desk.case())["case_id"]
        assert body["routing_key"] == KEY

    async def test_is_signed_when_it_has_a_secret(self, desk: Desk) -> None:
        async with Receiver(protocol=teams) as receiver:
            channel = {"kind": "webhook", "template": "teams.json.j2", "secret": SECRET}
            desk.alerts = sections(out={**channel, "url": receiver.url})
            await desk.apply(desk.submitted(2))
            async with delivering(desk):
                await settled(desk, "sent")
        assert check(receiver.hits[0])["type"] == "message"

    async def test_that_breaks_on_one_case_is_dead_alone(self, desk: Desk, tmp_path: Any) -> None:
        broken = tmp_path / "picky.j2"
        broken.write_text('{"comment": {{ text }}, "n": {{ [0, 1, 2][text.count("boom") * 3 and 9] }}}')
        async with Receiver() as receiver:
            desk.alerts = sections(out={"kind": "webhook", "template": str(broken), "url": receiver.url})
            await desk.apply(
                desk.submitted(1, response_id="a", customer="a", comment="boom"),
                desk.submitted(1, response_id="b", customer="b", comment="fine"),
            )
            async with delivering(desk):
                await settled(desk, "sent")
                rows = await settled(desk, "dead")
        [dead] = [row for row in rows if row["state"] == "dead"]
        assert (dead["response_id"], dead["attempt"]) == ("a", 1)
        assert "picky.j2, line 1" in dead["last_error"]
        assert "boom" not in dead["last_error"]
        assert len(receiver.hits) == 1


class TestARest:
    @pytest.mark.parametrize("kind", ["seconds", "date"])
    async def test_that_a_receiver_asks_for_holds_the_whole_channel(self, desk: Desk, kind: str) -> None:
        from datetime import UTC, datetime
        from email.utils import format_datetime

        until = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
        retry_after = {"seconds": "2", "date": until}[kind]
        async with Receiver(
            [answer(429, headers=f"retry-after: {retry_after}\r\n"), answer(200)]
        ) as receiver:
            desk.alerts = sections(out={"kind": "slack", "url": receiver.url})
            await desk.apply(desk.submitted(1, response_id="a", customer="a"))
            async with delivering(desk) as loop:
                await receiver.wait_for(1)
                await desk.apply(desk.submitted(1, response_id="b", customer="b"))
                loop.ring()
                await settled(desk, "sent", count=2)
        assert receiver.hits[1].at - receiver.hits[0].at >= 0.9
        assert len(receiver.hits) == 3
