"""Two walls against forms that another site sends in somebody's name: a token, and where it came from."""

import base64
import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import Request

from shared.http.problems import Problem


def token_for(key: bytes, session: str) -> str:
    """The token of a session, or of the cookie that stands for one before sign-in."""
    mac = hmac.digest(key, b"csrf\0" + session.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac[:24]).decode()


def check_csrf(request: Request, sent: str) -> None:
    """Raises Problem 403 unless the form came from a page that this session was shown."""
    expected = request.app.state.people.csrf(request)
    fits = expected != "" and hmac.compare_digest(sent.encode(), expected.encode())
    if not fits or not came_from_here(request):
        raise Problem(
            403,
            "form-expired",
            "Nothing was changed. The form was open for too long, you signed in or out since it was shown, "
            "or the browser refuses cookies. Go back, load the page again, and send it once more.",
        )


def came_from_here(request: Request) -> bool:
    """What the browser says of the sender; one that says nothing is left to the token."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
