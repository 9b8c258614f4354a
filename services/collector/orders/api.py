"""Routes of orders and engagements."""

from typing import Literal

from fastapi import APIRouter, Request, Security
from pydantic import BaseModel

from services.collector.orders import bodies
from services.collector.orders.handlers import OrderHandlers
from services.collector.routes import (
    KEY,
    PROBLEMS,
    IdempotencyKey,
    body_of,
    server_of,
    traceparent_of,
)
from shared.http import request_body
from shared.http.parameters import StoreName

router = APIRouter(dependencies=[Security(KEY)], responses=PROBLEMS, tags=["orders"])


class OrderAccepted(BaseModel):
    order_id: str
    status: Literal["accepted"] = "accepted"


class EngagementAccepted(BaseModel):
    engagement_id: str
    status: Literal["accepted"] = "accepted"


@router.post(
    "/v1/orders",
    status_code=202,
    summary="Say what happened to an order",
    response_model=OrderAccepted,
    openapi_extra=request_body(bodies.OrderIn, bodies.ORDER_EXAMPLES["placed"]),
)
async def order(request: Request, store: StoreName = None) -> OrderAccepted:
    """`type` is placed, delivered or refunded. Amounts are in the store's currency, with at most 4 decimal
    places, and are kept exactly: points are cut from their sum, so that 499.9999 gives 499. A refund lowers
    its order's points. What it does to the tier that the order gave, says `GET /v1/tiers`. Secret keys
    only."""
    caller = await server_of(request, store)
    body = await body_of(request, bodies.ORDER, tags=bodies.ORDER_TYPES)
    order_id = await _handlers(request).order(body, caller, traceparent=traceparent_of(request))
    return OrderAccepted(order_id=order_id)


@router.post(
    "/v1/engagements",
    status_code=202,
    summary="Record what a customer did beside buying",
    response_model=EngagementAccepted,
    openapi_extra=request_body(bodies.EngagementIn, bodies.ENGAGEMENT_EXAMPLE),
)
async def engage(
    request: Request, store: StoreName = None, idempotency_key: IdempotencyKey = None
) -> EngagementAccepted:
    """An event, an installed app, a review or a referral. The same id again counts once. Secret keys only."""
    caller = await server_of(request, store)
    body = await body_of(request, bodies.ENGAGEMENT)
    engagement_id = await _handlers(request).engage(
        body, caller, idempotency_key=idempotency_key, traceparent=traceparent_of(request)
    )
    return EngagementAccepted(engagement_id=engagement_id)


def _handlers(request: Request) -> OrderHandlers:
    handlers: OrderHandlers = request.app.state.orders
    return handlers
