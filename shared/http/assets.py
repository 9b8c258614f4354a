"""Style sheets, scripts and icons, read once, at an address that changes with their content."""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fastapi import APIRouter, Request, Response

from shared.http.problems import Problem

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _Asset:
    content: bytes
    media_type: str

    @cached_property
    def zipped(self) -> bytes:
        return gzip.compress(self.content, mtime=0)


class Assets:
    """The files of some `static` folders, and single ones, by name; they are served below the path `at`.

    Raises ValueError when two have the same name.
    """

    def __init__(self, places: Sequence[Path], *, at: str = "/assets") -> None:
        self._assets: dict[str, _Asset] = {}
        self._at = at
        for place in places:
            for file in sorted(place.glob("*")) if place.is_dir() else [place]:
                if file.suffix in _TYPES:
                    self._add(file)
        everything = hashlib.sha256()
        for name, asset in sorted(self._assets.items()):
            everything.update(name.encode() + b"\0" + hashlib.sha256(asset.content).digest())
        self.version = everything.hexdigest()[:16]

    def _add(self, file: Path) -> None:
        if file.name in self._assets:
            raise ValueError(f"{file}: there is an asset of this name already")
        content = file.read_bytes()
        self._assets[file.name] = _Asset(content, _TYPES[file.suffix])

    def address(self, name: str) -> str:
        """The path at which a file is served. Raises KeyError when there is no such file."""
        if name not in self._assets:
            raise KeyError(f"there is no asset {name}")
        return f"{self._at}/{self.version}/{name}"

    def routes(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.get(self._at + "/{version}/{name}")
        async def serve(request: Request, version: str, name: str) -> Response:
            asset = self._assets.get(name)
            if asset is None:
                raise Problem(404, "not-found", "There is nothing at this address.")
            # A page from before a deployment asks for an older version: it gets this one, not to be cached.
            headers = {
                "Cache-Control": _FOR_EVER if version == self.version else "no-cache",
                "Vary": "Accept-Encoding",
            }
            content = asset.content
            if "gzip" in request.headers.get("accept-encoding", ""):
                headers["Content-Encoding"] = "gzip"
                content = asset.zipped
            return Response(content, headers=headers, media_type=asset.media_type)

        return router
