"""The cookies of the pages, and the settings of pages in the environment.

All cookies but the choice of a store are signed, so that an invented one costs us no query.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request, Response
from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.access.sessions import DAYS

STORE = "closeloop_store"
SESSION = "closeloop_session"
_VISIT = "closeloop_visit"
_FLASH = "closeloop_flash"

_VISIT_SECONDS = 12 * 3600
_FLASH_SECONDS = 120
_LONGEST_FLASH = 3500
_YEAR_SECONDS = 365 * 24 * 3600


class Cookies:
    """Reads and writes the cookies. `always_secure`: for a proxy that ends TLS and sends no header for it."""

    def __init__(self, key: bytes, *, always_secure: bool = False) -> None:
        self._signers = {name: Signer(key, salt=name) for name in (SESSION, _VISIT)}
        self._flashes = URLSafeTimedSerializer(key, salt=_FLASH)
        self._always_secure = always_secure

    def secure(self, request: Request) -> bool:
        """Whether the browser came by https. A client that lies about it makes its own cookies stricter."""
        forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
        return self._always_secure or request.url.scheme == "https" or forwarded == "https"

    def session(self, request: Request) -> str:
        """The secret of the session; empty when there is no cookie, or a forged one."""
        return self._signed(request, SESSION)

    def set_session(
        self, request: Request, response: Response, secret: str, *, ends: datetime | None = None
    ) -> None:
        """Set the cookie of a session, for as long as the session lasts, and end the visit before it.

        `ends`: when the session ends whatever happens, if it did not begin just now.
        """
        left = timedelta(days=DAYS)
        if ends is not None:
            left = min(left, ends - datetime.now(UTC))
        self._set(request, response, SESSION, self._sign(SESSION, secret), int(left.total_seconds()))
        self._end(request, response, _VISIT)

    def end_session(self, request: Request, response: Response) -> None:
        for name in (SESSION, _VISIT, _FLASH):
            self._end(request, response, name)

    def visit(self, request: Request) -> str:
        """The id that stands for a session before sign-in; empty when there is none."""
        begun: str = getattr(request.state, "visit", "")
        return begun or self._signed(request, _VISIT)

    def begin_visit(self, request: Request, response: Response | None = None) -> None:
        """Begin a visit. Call it before a page with a form is made, and again with its response."""
        request.state.visit = self.visit(request) or secrets.token_urlsafe(24)
        if response is not None:
            self._set(request, response, _VISIT, self._sign(_VISIT, request.state.visit), _VISIT_SECONDS)

    def set_store(self, request: Request, response: Response, store: str) -> None:
        self._set(request, response, STORE, store, _YEAR_SECONDS, host_only=False)

    def flash(self, request: Request) -> Any:
        """The content that `set_flash` stored for this page, or None."""
        try:
            return self._flashes.loads(
                request.cookies.get(self._name(request, _FLASH), ""), max_age=_FLASH_SECONDS
            )
        except BadSignature:
            return None

    def set_flash(self, request: Request, response: Response, content: Any) -> bool:
        """Store content for the next page. Returns False when it is too large for a cookie."""
        value = str(self._flashes.dumps(content))
        if len(value) > _LONGEST_FLASH:
            return False
        self._set(request, response, _FLASH, value, _FLASH_SECONDS)
        return True

    def end_flash(self, request: Request, response: Response) -> None:
        if self._name(request, _FLASH) in request.cookies:
            self._end(request, response, _FLASH)

    def _name(self, request: Request, name: str) -> str:
        # A browser accepts `__Host-` only from https, for this host alone: no other host can set it.
        return f"__Host-{name}" if self.secure(request) else name

    def _sign(self, name: str, value: str) -> str:
        return self._signers[name].sign(value).decode()

    def _signed(self, request: Request, name: str) -> str:
        sent = request.cookies.get(self._name(request, name), "")
        try:
            return self._signers[name].unsign(sent).decode()
        except (BadSignature, UnicodeError):
            return ""

    def _set(
        self,
        request: Request,
        response: Response,
        name: str,
        value: str,
        seconds: int,
        *,
        host_only: bool = True,
    ) -> None:
        response.set_cookie(
            self._name(request, name) if host_only else name,
            value,
            max_age=seconds,
            path="/",
            secure=self.secure(request),
            httponly=True,
            samesite="lax",
        )

    def _end(self, request: Request, response: Response, name: str) -> None:
        response.delete_cookie(
            self._name(request, name), path="/", secure=self.secure(request), httponly=True, samesite="lax"
        )


class PageSettings(BaseSettings):
    """Settings of the pages, the same for all services that have any."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    closeloop_urls: dict[str, str] = Field(
        {},
        description="Where the areas are when not on one host, as JSON: "
        '{"inbox": "https://support.shop.example"}',
    )
    closeloop_secure_cookies: bool = Field(
        False, description="Cookies for https alone also when the proxy does not send X-Forwarded-Proto"
    )
