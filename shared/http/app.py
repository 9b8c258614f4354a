"""The FastAPI application that every service starts from."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.telemetry import TelemetryConfig

from shared.http import whole_reply
from shared.http.docs import docs_routes
from shared.http.gatekeeper import Gatekeeper
from shared.http.headers import SafeHeaders
from shared.http.hosts import KnownHosts
from shared.http.limits import Limits
from shared.http.parameters import check_parameters
from shared.http.problems import HANDLERS, not_one_of
from shared.http.traced import TracedRequests
from shared.ops import metrics, tracing
from shared.ops.health import PARTS, Health
from shared.ops.settings import ListenSettings
from shared.service.serving import VERSION

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own spans and logs contain paths, queries and texts of exceptions; ours do not."""


def standard_app(
    title: str,
    description: str,
    *,
    lifespan: Lifespan,
    listen: ListenSettings,
    health: Health,
    hosts: frozenset[str] = frozenset(),
) -> FastAPI:
    """An application with probes, metrics, errors as problems, and the gatekeeper around all of it.

    The service's lifespan must set `app.state.keyring` before it yields. `hosts`: see `KnownHosts`.
    """
    app = FastAPI(
        title=f"Closeloop {title}",
        description=description,
        version=VERSION,
        lifespan=lifespan,
        exception_handlers=HANDLERS,
        dependencies=[Depends(check_parameters)],
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it makes an address of the request's own host
        separate_input_output_schemas=False,
        telemetry=_SILENT,
    )
    app.include_router(operations_routes(health))
    own = title != "collector"  # which has the addresses that people try first
    app.include_router(
        docs_routes(
            app.title,
            page=f"/docs/{title}" if own else "/docs",
            openapi=f"/openapi/{title}.json" if own else "/openapi.json",
        )
    )
    whole_reply.usable()  # asked at start, so that no request waits for the answer
    app.state.limits = Limits(listen)
    app.add_middleware(Gatekeeper, limits=app.state.limits)
    if tracing.started():
        app.add_middleware(TracedRequests)
    if hosts:
        app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(SafeHeaders)
    return app


def operations_routes(health: Health) -> APIRouter:
    """`/livez`, `/readyz` and `/metrics`."""
    router = APIRouter(tags=["operations"])

    def answer(good: bool, parts: dict[str, str]) -> JSONResponse:
        body: dict[str, Any] = {"status": "ok" if good else "not ok", "parts": parts}
        return JSONResponse(body, status_code=200 if good else 503)

    @router.get("/livez", summary="Is the process worth keeping")
    async def livez() -> JSONResponse:
        return answer(*health.alive())

    @router.get("/readyz", summary="Which part is not ready")
    async def readyz(
        without: Annotated[
            list[str], Query(description="Parts to do without: an engine that is away for all replicas alike")
        ] = [],  # noqa: B006 - FastAPI copies it
    ) -> JSONResponse:
        if not set(without) <= set(PARTS):
            raise not_one_of(PARTS, "part", "/query/without")
        return answer(*health.ready(without))

    @router.get("/metrics", summary="Prometheus metrics")
    async def expose(request: Request) -> Response:
        body, content_type = metrics.exposition(request.headers.get("accept"))
        return Response(body, media_type=content_type)

    return router
