"""The form of a message in Slack: a text for notifications, and blocks for the channel."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from services.notifier.cases.domain.case import Priority
from services.notifier.channels.message import CaseMessage, Item, Message
from services.notifier.channels.webhook import Request
from services.notifier.channels.wording import words_of

LONGEST_TEXT = 2500
LONGEST_FIELD = 150
LONGEST_SECTION = 2900
MOST_FIELDS = 10

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = {
    Priority.URGENT: ":rotating_light:",
    Priority.HIGH: ":warning:",
    Priority.NORMAL: ":speech_balloon:",
    Priority.LOW: ":speech_balloon:",
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


def build(message: Message, _: datetime) -> Request:
    """The request to an incoming webhook of Slack."""
    words = words_of(message)
    mark = _MARKS[words.priority] if isinstance(message, CaseMessage) else ":bell:"
    title = escaped(words.title, LONGEST_FIELD - 30)
    blocks = [_plain("header", f"{mark} {title}")]
    for start in range(0, len(words.facts), MOST_FIELDS):
        blocks.append({"type": "section", "fields": _fields(words.facts[start : start + MOST_FIELDS])})
    if words.text:
        text = escaped(words.text, LONGEST_TEXT)
        blocks.append(_plain("section", f"“{text}”" if words.quoted else text))
    blocks += [_mrkdwn(text) for text in _lists(words.items, words.more)]
    blocks.append(_mrkdwn(f"<{words.link}|{words.link_label}>"))
    body = {"text": _summary(title, message), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
    return Request(
        {"content-type": "application/json", "traceparent": message.traceparent}, orjson.dumps(body)
    )


def _summary(title: str, message: Message) -> str:
    """The text of the notification, which is what a phone shows."""
    if not isinstance(message, CaseMessage):
        return title
    customer = dict(words_of(message).facts)["Customer"]
    return f"{title} ({message.case.priority}), {escaped(customer, LONGEST_FIELD)}"


def _lists(items: tuple[Item, ...], more: int) -> Iterator[str]:
    """The items as links, in as many sections as their length asks for."""
    lines = [f"• <{item.link}|{_label(item.text)}>" for item in items]
    if more:
        lines.append(f"and {more} more")
    section = ""
    for line in lines:
        if section and len(section) + len(line) + 1 > LONGEST_SECTION:
            yield section
            section = ""
        section = f"{section}\n{line}" if section else line
    if section:
        yield section


def _label(text: str) -> str:
    """Text inside a link: mrkdwn is parsed there, so its marks are left out."""
    return escaped(text.translate(str.maketrans("", "", "*_~`|")), LONGEST_FIELD)


def _plain(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": {"type": "plain_text", "text": text, "emoji": kind == "header"}}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _fields(facts: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    return [
        {"type": "plain_text", "text": f"{escaped(n, 60)}: {escaped(v, LONGEST_FIELD)}", "emoji": False}
        for n, v in facts
    ]
