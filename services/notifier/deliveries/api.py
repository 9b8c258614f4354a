"""A delivery as clients see it, and its id in an address."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field

from services.notifier.deliveries.store import Delivery, State

DeliveryId = Annotated[
    str, Path(max_length=64, pattern="^[0-9a-f-]+$", examples=["019387a0-5b1c-7c3e-9a51-2f8e7d6c5b4a"])
]


class DeliveryOut(BaseModel):
    """An alert to one channel. `reply`: the first 256 printable characters of the last answer."""

    id: str = Field(description="The same over every attempt; a webhook's `webhook-id`")
    case_id: str | None = Field(description="Null: it tells a notice")
    notice_id: str | None
    digest_id: str | None = Field(description="The notice in which it was told, together with others")
    reason: str
    channel: str
    response_id: str | None
    state: State
    attempt: int
    created_at: datetime
    next_at: datetime | None = Field(description="The next attempt, at the earliest")
    settled_at: datetime | None
    status: int | None
    milliseconds: int | None
    reply: str | None
    error: str | None


class DeliveriesOut(BaseModel):
    """A page, the newest first; the next one is in the header `Link`, rel=next."""

    deliveries: list[DeliveryOut]


def delivery_out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.delivery_id,
        case_id=delivery.case_id,
        notice_id=delivery.notice_id,
        digest_id=delivery.digest_id,
        reason=delivery.reason,
        channel=delivery.channel,
        response_id=delivery.response_id,
        state=delivery.state,
        attempt=delivery.attempt,
        created_at=delivery.created_at,
        next_at=delivery.next_at if delivery.state is State.PENDING else None,
        settled_at=delivery.settled_at,
        status=delivery.last_status,
        milliseconds=delivery.last_milliseconds,
        reply=delivery.last_reply,
        error=delivery.last_error,
    )
