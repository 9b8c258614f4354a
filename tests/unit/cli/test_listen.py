"""The receiver of alerts: signed ones are shown, others refused."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks import Webhook

from cli import CommandError
from cli.listen import line_of, receiving
from deploy.local import ports
from deploy.local.home import DEMO_ALERTS_SECRET

ALERT = {
    "type": "case.opened",
    "data": {
        "case": {"id": "7", "priority": "urgent", "rule": "furious"},
        "answer": {"metric": "nps", "score": 2, "comment": "Came late"},
        "customer": {"name": "Sanne Silva", "tier": "Gold"},
        "links": {"case": "http://here/v1/cases/7"},
    },
}
LINE = 'case.opened  urgent (furious)  NPS 2  Sanne Silva, Gold  "Came late"  http://here/v1/cases/7'


def signed(body: bytes, secret: str = DEMO_ALERTS_SECRET, webhook_id: str = "msg_1") -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body.decode()),
    }


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"http://127.0.0.1:{ports.choose()}/alerts"
    monkeypatch.setenv("CLOSELOOP_ALERTS_URL", address)
    monkeypatch.delenv("CLOSELOOP_ALERTS_SECRET", raising=False)
    return address


@pytest.fixture
def lines(url: str) -> Iterator[list[str]]:
    shown: list[str] = []
    with receiving(shown.append):
        yield shown


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


class TestReceiving:
    def test_shows_a_signed_alert_as_one_line(self, url: str, lines: list[str]) -> None:
        body = json.dumps(ALERT).encode()

        assert post(url, body, signed(body)) == 200
        assert len(lines) == 1
        assert lines[0].endswith(LINE)

    def test_shows_a_notice_by_its_title(self) -> None:
        notice = {"title": "NPS fell", "detail": {}}
        told = {"type": "notice.score_fell", "data": {"notice": notice, "links": {"notice": "http://here/x"}}}
        assert line_of(told) == "notice.score_fell  NPS fell  http://here/x"

    def test_says_when_the_same_alert_comes_again(self, url: str, lines: list[str]) -> None:
        body = json.dumps(ALERT).encode()
        for _ in range(2):
            assert post(url, body, signed(body)) == 200

        assert [line.endswith("(again)") for line in lines] == [False, True]

    def test_refuses_another_secret_and_a_changed_body(self, url: str, lines: list[str]) -> None:
        body = json.dumps(ALERT).encode()
        other = "whsec_" + "A" * 32

        assert post(url, body, signed(body, secret=other)) == 401
        assert post(url, body + b" ", signed(body)) == 401
        assert post(url, body, {}) == 401
        assert all(line.startswith("refused") for line in lines)

    def test_refuses_what_is_too_large_or_elsewhere(self, url: str, lines: list[str]) -> None:
        assert post(url.replace("/alerts", "/else"), b"{}", signed(b"{}")) == 404
        without_length = httpx.post(url, content=iter([b"{}"]), trust_env=False)
        assert without_length.status_code == 413
        assert lines == []

    def test_says_who_may_have_the_port(self, url: str, lines: list[str]) -> None:
        with pytest.raises(CommandError, match=url) as caught, receiving(lines.append):
            pass
        assert "closeloop listen" in caught.value.remedy


class TestALine:
    def test_of_other_json_is_that_json(self) -> None:
        assert line_of({"type": "ping"}) == '{"type": "ping"}'
        assert len(line_of(["x" * 1000])) == 300

    def test_shows_nothing_that_a_terminal_would_obey(self) -> None:
        alert = json.loads(json.dumps(ALERT))
        alert["data"]["customer"] = {"name": "\x1b[2JEve\x9b31m\r"}
        line = line_of(alert)
        assert line.isprintable()
        assert "?[2JEve?31m?" in line

    def test_of_an_alert_without_an_answer(self) -> None:
        alert = json.loads(json.dumps(ALERT))
        alert["data"]["answer"] = None
        assert alert["type"] in line_of(alert)
