"""The same endpoint as a tutorial writes it: FastAPI, pydantic models, a dependency that checks the key,
aiokafka's `send_and_wait` with `acks=all`. Access log off, which would cost as much again."""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import uuid4

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

TOPIC = "bench.tutorial"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Customer(Strict):
    id: str | None = Field(None, max_length=128)
    email: str | None = Field(None, max_length=254)
    name: str | None = Field(None, max_length=200)
    consent: bool | None = None


class Order(Strict):
    id: str | None = Field(None, max_length=128)
    value: Decimal | None = Field(None, ge=0)
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")


class Answer(Strict):
    response_id: str = Field(default_factory=lambda: str(uuid4()), max_length=128)
    metric: Literal["nps", "csat", "ces", "enps"] = "nps"
    score: int = Field(ge=0, le=10)
    comment: str | None = Field(None, max_length=10_000)
    touchpoint: str | None = Field(None, pattern="^[a-z0-9_]{1,64}$")
    channel: Literal["web", "email", "sms", "in_app", "link", "kiosk", "phone", "api"] = "api"
    answered_at: datetime | None = None
    locale: str | None = Field(None, max_length=35)
    customer: Customer | None = None
    order: Order | None = None
    segments: dict[str, str] = Field({}, max_length=50)


class Accepted(BaseModel):
    response_id: str
    status: str = "accepted"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], acks="all", linger_ms=0
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


async def check_key(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
    if not hmac.compare_digest(credentials.credentials, os.environ["KEY"]):
        raise HTTPException(401)


@app.post("/v1/responses", status_code=202, dependencies=[Depends(check_key)])
async def submit(answer: Answer, request: Request) -> Accepted:
    producer: Any = request.app.state.producer
    await producer.send_and_wait(
        TOPIC, answer.model_dump_json().encode(), key=f"bench:{answer.response_id}".encode()
    )
    return Accepted(response_id=answer.response_id)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
