"""Slack's incoming webhooks: a text for notifications and blocks for the channel."""

from datetime import datetime
from typing import Any

import orjson

from services.notifier.channels.message import Message
from services.notifier.channels.request import Request
from services.notifier.domain import Answer, Priority
from services.notifier.settings import Channel

LONGEST_COMMENT = 2500
LONGEST_FIELD = 150

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = {
    Priority.URGENT: ":rotating_light:",
    Priority.HIGH: ":warning:",
    Priority.NORMAL: ":speech_balloon:",
    Priority.LOW: ":speech_balloon:",
}
_TITLES = {
    "case.opened": "Unhappy customer",
    "case.reopened": "Unhappy again",
    "case.raised": "Unhappy once more, now more urgent",
}


def escaped(text: str, longest: int) -> str:
    """Literal text for Slack: no mention, no link, no control characters, cut at a length.

    `<!channel>`, `<@user>` and `<https://…|…>` need their brackets. What customers write goes into
    `plain_text` elements, where Slack parses no mrkdwn either.
    """
    kept: list[str] = []
    room = longest - 1
    for character in text:
        if not character.isprintable() and character != "\n":
            continue
        piece = _ENTITIES.get(character, character)
        room -= len(piece)
        if room < 0:
            kept.append("…")
            break
        kept.append(piece)
    return "".join(kept)


def build(message: Message, _: Channel, __: datetime) -> Request:
    title = f"{_TITLES.get(message.type, 'Case')}: {_score(message.answer)}"
    blocks = [
        _plain("header", f"{_MARKS[message.case.priority]} {title}"),
        {"type": "section", "fields": _fields(message)},
    ]
    if message.answer and message.answer.comment:
        blocks.append(_plain("section", f"“{escaped(message.answer.comment, LONGEST_COMMENT)}”"))
    blocks.append(
        {"type": "section", "text": {"type": "mrkdwn", "text": f"<{message.case_url}|Open the case>"}}
    )
    text = f"{title} ({message.case.priority}), {_who(message)}"
    body = {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
    return Request(
        {"content-type": "application/json", "traceparent": message.traceparent}, orjson.dumps(body)
    )


def _plain(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": {"type": "plain_text", "text": text, "emoji": kind == "header"}}


def _fields(message: Message) -> list[dict[str, Any]]:
    case, answer = message.case, message.answer
    due = case.first_contact_due_at
    facts = {
        "Customer": _who(message),
        "Priority": f"{case.priority} ({case.rule})",
        "Tier": message.tier or "unknown",
        "Call before": f"{due:%Y-%m-%d %H:%M} UTC",
        "Touchpoint": (answer.body.touchpoint if answer else None) or "none",
    }
    return [
        {"type": "plain_text", "text": f"{name}: {escaped(value, LONGEST_FIELD)}", "emoji": False}
        for name, value in facts.items()
    ]


def _score(answer: Answer | None) -> str:
    return f"{answer.body.metric.upper()} {answer.score}" if answer else "score unknown"


def _who(message: Message) -> str:
    person = message.answer.body.person if message.answer else None
    named = (person.name or person.id or person.email) if person else None
    who = escaped(named or message.case.customer_ref[:8], LONGEST_FIELD)
    return who if message.case.verified else f"{who} (unverified)"
