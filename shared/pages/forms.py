"""A form that a page sent: urlencoded, not large, and with the token of the session that it was shown to.

Two walls stand against forms that another site sends in somebody's name: the token, and where it came from.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

from shared.http.problems import Problem

LONGEST_FORM_BYTES = 256 * 1024
_MOST_FIELDS = 2000


def token_for(key: bytes, session: str) -> str:
    """The CSRF token of a session, or of the visit that stands for one before sign-in."""
    mac = hmac.digest(key, b"csrf\0" + session.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac[:24]).decode()


def check_csrf(request: Request, sent: str) -> None:
    """Raises Problem 403 unless the form came from a page that this session was shown."""
    expected = request.app.state.visitors.csrf(request)
    matches = expected != "" and hmac.compare_digest(sent.encode(), expected.encode())
    if not matches or not came_from_here(request):
        raise Problem(
            403,
            "form-expired",
            "Nothing was changed. The form was open for too long, you signed in or out since it was shown, "
            "or the browser refuses cookies. Go back, load the page again, and send it once more.",
        )


def came_from_here(request: Request) -> bool:
    """Whether a page of this host sent the form, by the browser's headers; True when it sends none."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


class Form:
    """The fields of a form, and what is wrong with them.

    A method that reads a field notes a mistake in `errors` (field → sentence) and still returns the content,
    so that the page can be shown again with the text in its field and the sentence beside it.
    """

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields
        self.errors: dict[str, str] = {}

    def text(self, name: str, *, longest: int = 200, needed: str = "") -> str:
        """The field's text without the space around it, lines ended by LF; empty when it was not sent.

        `needed`: the sentence to note when it is empty. More than `longest` characters are a mistake.
        """
        text = self.raw(name).replace("\r\n", "\n").replace("\r", "\n").strip()
        if needed and not text:
            self.refuse(name, needed)
        if len(text) > longest:
            self.refuse(name, f"At most {longest:,} characters; this has {len(text):,}.")
        if "\0" in text:
            self.refuse(name, "It holds a character that cannot be stored.")
        return text

    def raw(self, name: str) -> str:
        """The field's text as it was sent, for passwords and tokens."""
        return next(iter(self._fields.get(name, ())), "")

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be repeated, as check boxes are."""
        return list(self._fields.get(name, ()))

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number; None when the field is empty, and None with a mistake noted for anything else."""
        text = self.text(name, longest=20)
        if not text:
            return None
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        self.refuse(name, f"A whole number from {least:,} to {most:,}.")
        return None

    def ticked(self, name: str) -> bool:
        return name in self._fields

    def refuse(self, name: str, sentence: str) -> None:
        """Note what is wrong with a field; the first sentence stays."""
        self.errors.setdefault(name, sentence)


async def form_of(request: Request) -> Form:
    """A dependency of FastAPI: the form, checked for size, type and CSRF.

    Raises Problem: 413, 415 or 400 when it is no form; 403 `form-expired` for a wrong or missing token.
    """
    form = await read_form(request)
    check_csrf(request, form.raw("csrf"))
    return form


async def read_form(request: Request) -> Form:
    """The form of a request, whose token is not checked. Raises Problem 413, 415 or 400."""
    media = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported-media-type", "Send the form as application/x-www-form-urlencoded.")
    body = await request.body()
    if len(body) > LONGEST_FORM_BYTES:
        raise Problem(413, "too-large", "The form is too large.")
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Problem(400, "not-a-form", "The form is not valid UTF-8, or has too many fields.") from None
    return Form(fields)
