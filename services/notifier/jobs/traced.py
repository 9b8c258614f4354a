"""One attempt to deliver as a span of the trace that the answer began."""

from dataclasses import replace
from datetime import UTC, datetime

from services.notifier.channels import Attempt, Message, Outlet
from services.notifier.deliveries.claims import Claimed
from shared.ops import tracing
from shared.ops.tracing import Kind, names


async def traced_attempt(outlet: Outlet, kind: str, delivery: Claimed, message: Message) -> Attempt:
    """Send once. What arrives carries the attempt's own span. Raises what the outlet does."""
    attributes: dict[str, str | int] = {
        names.STORE: delivery.store,
        names.CHANNEL: delivery.channel,
        names.CHANNEL_KIND: kind,
        names.DELIVERY_ID: delivery.delivery_id,
        names.DELIVERY_REASON: delivery.reason,
        names.DELIVERY_ATTEMPT: delivery.attempt,
    }
    with tracing.span(f"deliver {kind}", Kind.CLIENT, delivery.traceparent, attributes) as span:
        if span.traceparent != message.traceparent:
            message = replace(message, traceparent=span.traceparent)
        attempt = await outlet.send(message, datetime.now(UTC))
        if attempt.status is not None:
            span.put({names.DELIVERY_STATUS: attempt.status})
        if not attempt.accepted:
            span.fail(attempt.error)
    return attempt
