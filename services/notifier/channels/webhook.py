"""Webhooks: the payload as it is or by a template, signed by the Standard Webhooks specification."""

from datetime import datetime

import orjson
from standardwebhooks import Webhook

from services.notifier.channels.message import Message
from services.notifier.channels.payload import payload
from services.notifier.channels.request import Build, Request
from services.notifier.channels.templates import BodyTemplate
from services.notifier.deliveries.settings import Channel


def building(channel: Channel, template: BodyTemplate | None = None) -> Build:
    """A new timestamp and signature for each attempt, the same id for all of them."""
    secret = channel.secret.get_secret_value()
    signer = Webhook(secret) if secret else None
    values = {name: value.get_secret_value() for name, value in channel.values.items()}

    def build(message: Message, now: datetime) -> Request:
        if template is None:
            body = orjson.dumps(payload(message), option=orjson.OPT_UTC_Z)
        else:
            body = template.render(message, values)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "traceparent": message.traceparent,
        }
        if signer:
            headers["webhook-signature"] = signer.sign(message.id, now, body.decode())
        return Request(headers, body)

    return build
