"""Made answers, as requests to the collector. Imports little: the load generator starts in no time."""

import orjson


def json_request(path: str, key: str, body: bytes) -> bytes:
    """A whole HTTP/1.1 POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def request_template(key: str, run: str) -> bytes:
    """A request of an answer of about 400 bytes; `%` it with the number of the answer, four times."""
    body = answer_body(
        response_id=f"{run}-@@@@@@@@@",
        customer="c-@@@@@@@@@",
        score=9,
        comment="Quick delivery, and the box arrived in one piece. The tracking page could be clearer.",
    )
    whole = json_request("/v1/responses", key, body).replace(b"%", b"%%")
    return whole.replace(b"@@@@@@@@@", b"%09d")


def answer_body(
    *, response_id: str, customer: str, score: int, comment: str, line: str = "shoes", country: str = "NL"
) -> bytes:
    """The body of a `POST /v1/responses`."""
    return orjson.dumps(
        {
            "response_id": response_id,
            "metric": "nps",
            "score": score,
            "comment": comment,
            "touchpoint": "post_delivery",
            "channel": "email",
            "locale": "nl-NL",
            "customer": {"id": customer, "email": f"{customer}@shop.example", "consent": True},
            "order": {"id": f"o-{customer}", "value": 59.9, "currency": "EUR"},
            "segments": {"country": country, "product_line": line},
        }
    )
