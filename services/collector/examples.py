"""What the documentation shows: bodies that work as they stand, and the problems that may come back."""

from typing import Any

ANSWER: dict[str, Any] = {
    "score": 9,
    "comment": "Quick delivery, and the shoes fit.",
    "touchpoint": "post_delivery",
    "channel": "web",
    "locale": "nl-NL",
    "customer": {"id": "c-1", "email": "ada@example.com", "consent": True},
    "order": {"id": "o-1", "value": 59.90, "currency": "EUR"},
    "segments": {"country": "NL", "product_line": "shoes"},
    "answers": [{"question": "reason", "value": "speed"}],
}
AMENDMENT: dict[str, Any] = {"comment": "The left shoe is a size smaller.", "complete": True, "revision": 2}
ORDERS: dict[str, dict[str, Any]] = {
    "placed": {
        "type": "placed",
        "id": "o-1",
        "placed_at": "2026-11-20T09:30:00+01:00",
        "value": 59.90,
        "currency": "EUR",
        "customer": {"id": "c-1", "email": "ada@example.com"},
    },
    "delivered": {"type": "delivered", "id": "o-1", "delivered_at": "2026-11-22T14:00:00+01:00"},
    "refunded": {
        "type": "refunded",
        "id": "o-1",
        "refund_id": "rf-1",
        "refunded_at": "2026-11-25T10:00:00+01:00",
        "amount": 19.95,
        "currency": "EUR",
    },
}
ENGAGEMENT: dict[str, Any] = {
    "kind": "review",
    "engaged_at": "2026-11-22T14:00:00+01:00",
    "customer": {"id": "c-1"},
}
VOUCH: dict[str, Any] = {"id": "c-1", "email": "ada@example.com", "valid_seconds": 3600}
ERASURE: dict[str, Any] = {"customer": {"id": "c-1", "email": "ada@example.com"}}

_MEANINGS = {
    400: "Not JSON in UTF-8",
    401: "No key, or one that is unknown, expired or revoked",
    403: "The key may not do this, or not from this origin",
    404: "A store that is not the key's",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "Not application/json",
    422: "The body does not fit; `errors` says where",
    429: "The key sends too many requests; `Retry-After` says when to go on",
    503: "Nobody knows whether it was done, or too much at once: send the same again after `Retry-After`",
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:closeloop:problem:invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "response_id": {"type": "string", "description": "With 503: the id to send it again with"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/problem+json": {"schema": _PROBLEM}}}
    for status, meaning in _MEANINGS.items()
}
