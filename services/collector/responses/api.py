"""Routes of answers and of customer tokens.

`POST /v1/responses` stands here for its documentation alone: `intake` answers it.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response, Security
from pydantic import BaseModel, Field, StringConstraints

from services.collector.domain import InvalidInput
from services.collector.origins import STORE_IN_SCOPE
from services.collector.responses import bodies
from services.collector.responses.handlers import ResponseHandlers
from services.collector.routes import (
    KEY,
    PROBLEMS,
    IdempotencyKey,
    body_of,
    server_of,
    traceparent_of,
)
from shared.http import Problem, request_body
from shared.http.parameters import StoreName

router = APIRouter(dependencies=[Security(KEY)], responses=PROBLEMS, tags=["responses"])

ResponseId = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Path(
        min_length=1,
        max_length=160,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="As the 202 said it; with a public key's own answer also as it was sent",
    ),
]


class AnswerWarning(BaseModel):
    """A part of an answer that the store has not declared."""

    pointer: str = Field(examples=["/segments/country"])
    detail: str


class AnswerAccepted(BaseModel):
    """Kafka has the answer on all in-sync replicas. The same `response_id` again changes nothing."""

    response_id: str
    status: Literal["accepted"] = "accepted"
    amend_token: str = Field(
        description="Lets its bearer amend this answer for 24 hours, and no other that came under its id"
    )
    warnings: list[AnswerWarning] | None = Field(
        None, description="Only if a segment, a value or the touchpoint is none that the store has declared"
    )


class ChangeAccepted(BaseModel):
    response_id: str
    status: Literal["accepted"] = "accepted"


class CustomerToken(BaseModel):
    token: str = Field(description="Send it as `customer.token` with a public key")
    expires_at: datetime


@router.post(
    "/v1/responses",
    status_code=202,
    summary="Submit an answer",
    response_model=AnswerAccepted,
    openapi_extra=request_body(bodies.AnswerIn, bodies.ANSWER_EXAMPLE),
)
async def submit(store: StoreName = None, idempotency_key: IdempotencyKey = None) -> Response:
    """With a `sec_` key from a server, with a `pub_` key from a page of the store's allowed origins.

    `score` is an integer of the scale: `9.0`, `"9"` and `true` are refused. `answered_at` needs an offset,
    lies between the year 2000 and 5 minutes from now, and is clamped to now. A repeat of the same
    `response_id` counts once; the same id with other content is a conflict and is not counted. `warnings`
    names the segments, values and touchpoint that the store has not declared: none has a score of its own.

    With a `pub_` key the server sets `answered_at`; `order` and segments that the store has not declared
    are refused; the id becomes `<key id>:<id>` (the id in the answer is the one to use; a retry may use
    either); and the customer is only claimed, unless `customer.token` comes from
    `POST /v1/customer-tokens`. A token that is not valid, or does not name the same customer, leaves the
    customer claimed: no answer is lost for it.
    """
    raise AssertionError(f"answered by the intake in front of FastAPI, not with {store} {idempotency_key}")


@router.patch(
    "/v1/responses/{response_id:path}",
    status_code=202,
    summary="Amend an answer",
    response_model=ChangeAccepted,
    openapi_extra=request_body(bodies.AmendmentIn, bodies.AMENDMENT_EXAMPLE),
)
async def amend(request: Request, response_id: ResponseId, store: StoreName = None) -> ChangeAccepted:
    """The score or the comment that came later; at least one of score, comment, answers and complete.

    By `Authorization: Bearer <amend_token>`, by `amend_token` in the body, or with a secret key. It may
    overtake the answer. Each field keeps the value of the highest `revision` (default 1; equal ones: the
    later request). The amend token knows the answer's scale, and amends only the answer that it came with:
    another one under the same id is out of its reach. With a secret key, name the answer's `metric` and
    `scale`, so that a score that is none of it is refused here; without them it is checked where the answer
    is stored, and a score that is impossible there is counted as refused and changes nothing.
    """
    handlers = _handlers(request)
    credentials = await handlers.credentials(
        request.headers.get("authorization", ""),
        store,
        origin=request.headers.get("origin"),
        peer=request.client,
    )
    try:
        body = await body_of(request, bodies.AMENDMENT)
    except (Problem, InvalidInput) as error:
        # Whoever has shown neither a key nor a token is not told what is wrong with the body.
        status = error.status if isinstance(error, Problem) else 422
        handlers.count_misfit(credentials, await request.body(), status=status)
        raise
    amendment = await handlers.amend(
        body, response_id, credentials, store=store, traceparent=traceparent_of(request)
    )
    request.scope[STORE_IN_SCOPE] = amendment.store
    return ChangeAccepted(response_id=amendment.response_id)


@router.delete(
    "/v1/responses/{response_id:path}",
    status_code=202,
    summary="Retract an answer",
)
async def retract(
    request: Request,
    response_id: ResponseId,
    reason: Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    store: StoreName = None,
) -> ChangeAccepted:
    """It no longer counts. Final, and it may overtake the answer. Secret keys only."""
    caller = await server_of(request, store)
    await _handlers(request).retract(response_id, caller, reason=reason, traceparent=traceparent_of(request))
    return ChangeAccepted(response_id=response_id)


@router.post(
    "/v1/customer-tokens",
    status_code=201,
    summary="Vouch for the customer of a page",
    response_model=CustomerToken,
    openapi_extra=request_body(bodies.VouchIn, bodies.VOUCH_EXAMPLE),
)
async def vouch(request: Request, store: StoreName = None) -> CustomerToken:
    """Give the token to the page of a signed-in customer: an answer that brings it as `customer.token` is
    identified as this customer. Secret keys only."""
    caller = await server_of(request, store)
    body = await body_of(request, bodies.VOUCH)
    token, expires_at = _handlers(request).customer_token(body, caller)
    return CustomerToken(token=token, expires_at=expires_at)


def _handlers(request: Request) -> ResponseHandlers:
    handlers: ResponseHandlers = request.app.state.responses
    return handlers
