"""Receivers that are as strict as Slack, Teams and PagerDuty, and answer in their words."""

import re
from typing import Any

import orjson

from tests.integration.notifier.receiver import Answer, Hit, answer

SLACK_TEXTS = {"plain_text", "mrkdwn"}


def slack(hit: Hit) -> Answer:
    """`ok`, or 400 `invalid_payload`, `no_text` or `invalid_blocks`."""
    try:
        body = orjson.loads(hit.body)
    except orjson.JSONDecodeError:
        return answer(400, b"invalid_payload")
    if not body.get("text"):
        return answer(400, b"no_text")
    blocks = body.get("blocks", [])
    right = len(blocks) <= 50 and all(_slack_block(block) for block in blocks)
    return answer(200, b"ok") if right else answer(400, b"invalid_blocks")


def _slack_block(block: dict[str, Any]) -> bool:
    if block["type"] == "header":
        return block["text"]["type"] == "plain_text" and 1 <= len(block["text"]["text"]) <= 150
    texts = [block["text"]] if "text" in block else []
    fields = block.get("fields", [])
    return (
        block["type"] == "section"
        and bool(texts or fields)
        and len(fields) <= 10
        and all(text["type"] in SLACK_TEXTS and 1 <= len(text["text"]) <= 3000 for text in texts)
        and all(field["type"] in SLACK_TEXTS and 1 <= len(field["text"]) <= 2000 for field in fields)
    )


_CARD = "application/vnd.microsoft.card.adaptive"
_ELEMENTS = {"TextBlock", "RichTextBlock", "FactSet", "ColumnSet", "Container"}


def teams(hit: Hit) -> Answer:
    """202 with no words, as a workflow answers; 400 for what its trigger's schema refuses."""
    try:
        body = orjson.loads(hit.body)
        [attached] = body["attachments"]
        card = attached["content"]
        right = (
            hit.headers["content-type"].startswith("application/json")
            and body["type"] == "message"
            and attached["contentType"] == _CARD
            and card["type"] == "AdaptiveCard"
            and re.fullmatch(r"1\.[0-5]", card["version"])
            and all(_card_element(element) for element in card["body"])
            and all(a["type"] == "Action.OpenUrl" and a["url"].startswith("http") for a in card["actions"])
            and len(hit.body) <= 28 * 1024
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        right = False
    wrong = b'{"error":{"code":"TriggerInputSchemaMismatch","message":"The input body does not match."}}'
    return answer(202, b"") if right else answer(400, wrong)


def _card_element(element: dict[str, Any]) -> bool:
    if element["type"] == "RichTextBlock":
        return all(run["type"] == "TextRun" and isinstance(run["text"], str) for run in element["inlines"])
    return element["type"] in _ELEMENTS and isinstance(element.get("text", ""), str)


def pagerduty(hit: Hit) -> Answer:
    """202 with the dedup key, or 400 `invalid event` with every error."""
    try:
        body = orjson.loads(hit.body)
    except orjson.JSONDecodeError:
        return answer(400, b'{"status":"invalid event","message":"JSON is invalid","errors":[]}')
    said = body.get("payload", {})
    rules = {
        "Length of 'routing_key' is incorrect (should be 32 characters)": len(body["routing_key"]) == 32,
        "'event_action' is missing": body.get("event_action") in {"trigger", "acknowledge", "resolve"},
        "'dedup_key' is too long": len(body.get("dedup_key", "")) <= 255,
        "'payload.summary' is missing or blank": 1 <= len(said.get("summary", "")) <= 1024,
        "'payload.source' is missing or blank": bool(said.get("source")),
        "'payload.severity' is invalid": said.get("severity") in {"critical", "error", "warning", "info"},
        "'links' is invalid": all("href" in link for link in body.get("links", [])),
        "Event is too large": len(hit.body) <= 512 * 1024,
    }
    wrong = [words for words, holds in rules.items() if not holds]
    if wrong:
        refusal = {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}
        return answer(400, orjson.dumps(refusal))
    taken = {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}
    return answer(202, orjson.dumps(taken))
