"""The ASGI application that uvicorn calls: it sends the hot route past FastAPI, and speaks CORS."""

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.collector.origins import STORE_IN_SCOPE, AllowedOrigins
from services.collector.responses.intake import ROUTE

_AN_ANSWER = f"{ROUTE}/"


class Front:
    """Passes `POST /v1/responses` to the intake and everything else to FastAPI.

    Pages may submit and amend answers, and nothing else: only those two routes send CORS headers.
    """

    def __init__(self, app: FastAPI, *, intake: ASGIApp, origins: AllowedOrigins) -> None:
        self.app = app
        self._intake = intake
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        if path == ROUTE:
            if method == "POST":
                await self._intake(scope, receive, send)
                return
            if method == "OPTIONS":
                await self._origins.preflight(scope, send, method=b"POST")
                return
        elif path.startswith(_AN_ANSWER):
            if method == "OPTIONS":
                await self._origins.preflight(scope, send, method=b"PATCH")
                return
            if method == "PATCH":
                send = self._with_cors(scope, send)
        await self.app(scope, receive, send)

    def _with_cors(self, scope: Scope, send: Send) -> Send:
        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                origin = dict(scope["headers"]).get(b"origin")
                cors = self._origins.headers_for(origin, scope.get(STORE_IN_SCOPE))
                message["headers"] = [*message.get("headers", ()), *cors]
            await send(message)

        return send_with_cors
