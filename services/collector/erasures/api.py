"""The route by which a store has a person forgotten."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Security
from pydantic import BaseModel, Field

from services.collector.erasures import bodies
from services.collector.erasures.handlers import ErasureHandlers
from services.collector.routes import KEY, PROBLEMS, admin_of, body_of, traceparent_of
from shared.http import request_body
from shared.http.parameters import StoreName

router = APIRouter(dependencies=[Security(KEY)], responses=PROBLEMS, tags=["erasures"])


class ErasureAccepted(BaseModel):
    """Kafka has the request. `closeloop erase --wait` proves when every service has carried it out."""

    erasure_id: str
    status: Literal["accepted"] = "accepted"
    erased_at: datetime = Field(description="What was received until then is erased")


@router.post(
    "/v1/erasures",
    status_code=202,
    summary="Forget a person",
    response_model=ErasureAccepted,
    openapi_extra=request_body(bodies.ErasureIn, bodies.ERASURE_EXAMPLE),
)
async def erase(request: Request, store: StoreName = None) -> ErasureAccepted:
    """By customer id, e-mail or both, for good: what the person sent until now loses everything personal in
    every service, and scores keep their counts. Give both: what came with an id is kept under the id alone,
    what came with an e-mail only under the e-mail. What comes later is from somebody new. Harmless twice.
    Secret keys with the scope `admin` only.
    """
    caller = await admin_of(request, store)
    body = await body_of(request, bodies.ERASURE)
    event = await _handlers(request).erase(body, caller, traceparent=traceparent_of(request))
    return ErasureAccepted(erasure_id=event.erasure_id, erased_at=event.erased_at)


def _handlers(request: Request) -> ErasureHandlers:
    handlers: ErasureHandlers = request.app.state.erasures
    return handlers
