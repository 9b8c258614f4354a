"""HTTP in and out. `POST /v1/responses` is declared here for its documentation and answered by `intake`."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, TypeAdapter

from services.collector import examples
from services.collector.callers import Caller
from services.collector.domain import Fault
from services.collector.origins import STORE
from services.collector.reading import misfit, read
from services.collector.responses import bodies
from services.collector.responses.handlers import Handlers
from shared.http import Problem, request_body
from shared.http.bodies import T, check_json_type

_KEY = HTTPBearer(auto_error=False, description="A key, or an amend token where one will do")

router = APIRouter(dependencies=[Security(_KEY)], responses=examples.PROBLEMS)

ResponseId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=160,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="As the 202 said it; with a public key's own answer also as it was sent",
    ),
]
StoreName = Annotated[str | None, Query(description="The key's own store; another one is 404")]
IdempotencyKey = Annotated[str | None, Header(description="The id, when the body has none")]


class AnswerAccepted(BaseModel):
    """Kafka has the answer on all in-sync replicas. The same `response_id` again changes nothing."""

    response_id: str
    status: Literal["accepted"] = "accepted"
    amend_token: str = Field(description="Lets its bearer amend this answer for 24 hours")


class ChangeAccepted(BaseModel):
    response_id: str
    status: Literal["accepted"] = "accepted"


class OrderAccepted(BaseModel):
    order_id: str
    status: Literal["accepted"] = "accepted"


class EngagementAccepted(BaseModel):
    engagement_id: str
    status: Literal["accepted"] = "accepted"


class ErasureAccepted(BaseModel):
    """Kafka has the request. `closeloop erase --wait` proves when every service has carried it out."""

    erasure_id: str
    status: Literal["accepted"] = "accepted"
    erased_at: datetime = Field(description="What was received until then is erased")


class CustomerToken(BaseModel):
    token: str = Field(description="Send it as `customer.token` with a public key")
    expires_at: datetime


@router.post(
    "/v1/responses",
    status_code=202,
    tags=["responses"],
    summary="Submit an answer",
    response_model=AnswerAccepted,
    openapi_extra=request_body(bodies.AnswerIn, examples.ANSWER),
)
async def submit(store: StoreName = None, idempotency_key: IdempotencyKey = None) -> Response:
    """With a `sec_` key from a server, with a `pub_` key from a page of the store's allowed origins.

    `score` is an integer of the scale: `9.0`, `"9"` and `true` are refused. `answered_at` needs an offset,
    lies between the year 2000 and 5 minutes from now, and is clamped to now. A repeat of the same
    `response_id` counts once; the same id with other content is a conflict and is not counted.

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
    tags=["responses"],
    summary="Amend an answer",
    response_model=ChangeAccepted,
    openapi_extra=request_body(bodies.AmendmentIn, examples.AMENDMENT),
)
async def amend(request: Request, response_id: ResponseId, store: StoreName = None) -> ChangeAccepted:
    """The score or the comment that came later; at least one of score, comment, answers and complete.

    By `Authorization: Bearer <amend_token>`, by `amend_token` in the body, or with a secret key. It may
    overtake the answer. Each field keeps the value of the highest `revision` (default 1; equal ones: the
    later request). The amend token knows the answer's scale; with a secret key `metric` and `scale` say
    what to check the score against (default nps, 0-10).
    """
    who = await _handlers(request).amender(
        request.headers.get("authorization", ""), store, origin=request.headers.get("origin")
    )
    try:
        sent = await _read(request, bodies.AMENDMENT)
    except (Problem, Fault):
        # Who has shown neither a key nor a token hears nothing of what is wrong with the body.
        _handlers(request).check_shown(who, await request.body())
        raise
    done = await _handlers(request).amend(
        sent, response_id, who, store=store, traceparent=_traceparent(request)
    )
    request.scope[STORE] = done.store
    return ChangeAccepted(response_id=done.response_id)


@router.delete(
    "/v1/responses/{response_id:path}",
    status_code=202,
    tags=["responses"],
    summary="Retract an answer",
)
async def retract(
    request: Request,
    response_id: ResponseId,
    reason: Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    store: StoreName = None,
) -> ChangeAccepted:
    """It no longer counts. Final, and it may overtake the answer. Secret keys only."""
    caller = await _server(request, store)
    await _handlers(request).retract(response_id, caller, reason=reason, traceparent=_traceparent(request))
    return ChangeAccepted(response_id=response_id)


@router.post(
    "/v1/orders",
    status_code=202,
    tags=["orders"],
    summary="Say what happened to an order",
    response_model=OrderAccepted,
    openapi_extra=request_body(bodies.OrderIn, examples.ORDERS["placed"]),
)
async def order(request: Request, store: StoreName = None) -> OrderAccepted:
    """`type` is placed, delivered or refunded. Amounts are exact, with at most 4 decimal places, in the
    store's currency. Secret keys only."""
    caller = await _server(request, store)
    sent = await _read(request, bodies.ORDER, tags=bodies.ORDER_TYPES)
    return OrderAccepted(
        order_id=await _handlers(request).order(sent, caller, traceparent=_traceparent(request))
    )


@router.post(
    "/v1/engagements",
    status_code=202,
    tags=["orders"],
    summary="Record what a customer did beside buying",
    response_model=EngagementAccepted,
    openapi_extra=request_body(bodies.EngagementIn, examples.ENGAGEMENT),
)
async def engage(
    request: Request, store: StoreName = None, idempotency_key: IdempotencyKey = None
) -> EngagementAccepted:
    """An event, an installed app, a review or a referral. The same id again counts once. Secret keys only."""
    caller = await _server(request, store)
    sent = await _read(request, bodies.ENGAGEMENT)
    engagement_id = await _handlers(request).engage(
        sent, caller, idempotency_key=idempotency_key, traceparent=_traceparent(request)
    )
    return EngagementAccepted(engagement_id=engagement_id)


@router.post(
    "/v1/customer-tokens",
    status_code=201,
    tags=["responses"],
    summary="Vouch for the customer of a page",
    response_model=CustomerToken,
    openapi_extra=request_body(bodies.VouchIn, examples.VOUCH),
)
async def vouch(request: Request, store: StoreName = None) -> CustomerToken:
    """Give the token to the page of a signed-in customer: an answer that brings it as `customer.token` is
    identified as this customer. Secret keys only."""
    caller = await _server(request, store)
    token, expires_at = _handlers(request).vouch(await _read(request, bodies.VOUCH), caller)
    return CustomerToken(token=token, expires_at=expires_at)


@router.post(
    "/v1/erasures",
    status_code=202,
    tags=["erasures"],
    summary="Forget a person",
    response_model=ErasureAccepted,
    openapi_extra=request_body(bodies.ErasureIn, examples.ERASURE),
)
async def erase(request: Request, store: StoreName = None) -> ErasureAccepted:
    """By customer id, e-mail or both, for good: what the person sent until now loses everything personal in
    every service, and scores keep their counts. Give both: what came with an id is kept under the id alone,
    what came with an e-mail only under the e-mail. What comes later is from somebody new. Harmless twice.
    Secret keys with the scope `admin` only.
    """
    caller = await _handlers(request).admin(request.headers.get("authorization", ""), store)
    sent = await _read(request, bodies.ERASURE)
    done = await _handlers(request).erase(sent, caller, traceparent=_traceparent(request))
    return ErasureAccepted(erasure_id=done.erasure_id, erased_at=done.erased_at)


async def on_fault(_: Request, fault: Fault) -> Response:
    return misfit(fault).response()


def _handlers(request: Request) -> Handlers:
    handlers: Handlers = request.app.state.handlers
    return handlers


def _traceparent(request: Request) -> str:
    return str(request.scope["closeloop.traceparent"])


async def _server(request: Request, store: str | None) -> Caller:
    return await _handlers(request).server(request.headers.get("authorization", ""), store)


async def _read(request: Request, adapter: TypeAdapter[T], *, tags: frozenset[str] = frozenset()) -> T:
    check_json_type(request.headers.get("content-type", ""))
    return read(adapter, await request.body(), tags=tags)
