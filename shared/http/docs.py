"""The pages of the API's documentation: Swagger UI from a package, so that they need no other host."""

from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from shared.http.assets import Assets
from shared.http.parameters import page_parameters

_OURS = Path(__file__).parent / "static"
_SWAGGER = Path(str(files("fastapi_offline"))) / "static"
"""Only files of that package are used: its own application would write a script into the page."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="{css}">
</head>
<body>
  <div id="swagger-ui" data-openapi="{openapi}"></div>
  <script src="{bundle}"></script>
  <script src="{start}"></script>
</body>
</html>
"""


def docs_routes(title: str, *, page: str, openapi: str) -> APIRouter:
    """The document of an application at the path `openapi`, and the page that shows it at `page`."""
    assets = Assets(
        [_OURS, _SWAGGER / "swagger-ui-bundle.js", _SWAGGER / "swagger-ui.css"], at=f"{page}/assets"
    )
    text = _PAGE.format(
        title=escape(title),
        openapi=openapi,
        css=assets.address("swagger-ui.css"),
        bundle=assets.address("swagger-ui-bundle.js"),
        start=assets.address("docs.js"),
    )
    rendered = b""
    router = APIRouter(include_in_schema=False)
    router.include_router(assets.routes())

    @router.get(page)
    async def show() -> Response:
        return HTMLResponse(text)

    @router.get(openapi, dependencies=[Depends(page_parameters())])
    async def document(request: Request) -> Response:
        nonlocal rendered
        if not rendered:  # at the first request, when the application has all of its routes; it takes 4 ms
            rendered = bytes(JSONResponse(request.app.openapi()).body)
        return Response(rendered, media_type="application/json")

    return router
