"""Signed webhooks by the Standard Webhooks specification."""

from datetime import datetime
from typing import Any

import orjson
from standardwebhooks import Webhook

from services.notifier.channels.message import Message
from services.notifier.channels.request import Request
from services.notifier.domain import Answer, Case
from services.notifier.settings import Channel


def build(message: Message, channel: Channel, now: datetime) -> Request:
    """A new timestamp and signature for each attempt, the same id for all of them."""
    body = orjson.dumps(_payload(message), option=orjson.OPT_UTC_Z)
    signature = Webhook(channel.secret.get_secret_value()).sign(message.id, now, body.decode())
    return Request(
        {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
            "traceparent": message.traceparent,
        },
        body,
    )


def _payload(message: Message) -> dict[str, Any]:
    return {
        "type": message.type,
        "timestamp": message.created_at,
        "data": {
            "case": _case(message.case),
            "answer": _answer(message.answer) if message.answer else None,
            "customer": _customer(message),
            "links": {"case": message.case_url},
        },
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "id": case.case_id,
        "store": case.store,
        "status": case.status,
        "priority": case.priority,
        "rule": case.rule,
        "verified": case.verified,
        "owner": case.owner,
        "opened_at": case.opened_at,
        "first_contact_due_at": case.first_contact_due_at,
        "resolve_due_at": case.resolve_due_at,
        "answers": len(case.standing),
        "reopened": case.reopened,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    body = answer.body
    return {
        "response_id": answer.response_id,
        "metric": body.metric,
        "scale": body.scale,
        "score": answer.score,
        "comment": answer.comment,
        "touchpoint": body.touchpoint,
        "channel": body.channel,
        "answered_at": body.answered_at,
        "retracted": answer.retracted,
        "order": {
            "id": body.order_id,
            "value": str(body.order_value) if body.order_value is not None else None,
            "currency": body.currency,
        },
        "segments": dict(body.segments),
        "answers": [{"question": question, "value": value} for question, value in answer.follow_ups],
    }


def _customer(message: Message) -> dict[str, Any]:
    person = message.answer.body.person if message.answer else None
    return {
        "ref": message.case.customer_ref,
        "id": person.id if person else None,
        "email": person.email if person else None,
        "name": person.name if person else None,
        "tier": message.tier,
        "tags": message.tags,
    }
