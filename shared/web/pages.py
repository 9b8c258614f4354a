"""Pages in HTML: one base, one sheet of tokens, and the same bar on top from every service."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from shared.config.stores import Store
from shared.ops.logs import log
from shared.web.areas import AREAS, AreaUrls
from shared.web.assets import Assets
from shared.web.notices import Notice
from shared.web.people import At, People, at_store
from shared.web.problems import Problem
from shared.web.templates import environment

_log = log("web")
HERE = Path(__file__).parent

Context = dict[str, Any]


class Pages:
    """Makes pages from the templates of `folders` and of `shared/web`.

    A folder holds `templates/` (Jinja) and `static/` (served at `/assets/{hash}/`). `overdue` says how many
    cases of a store are overdue, from memory: it is shown on every page. One for each application, at
    `app.state.pages`; `shared.web.door.open_to_people` mounts it.

    A template extends `base.html` and fills its blocks: `title` (without the product's name), `head`,
    `actions` (right of the heading), `main`, `scripts` (modules of its own) and `keys` (its rows in the
    keyboard help). There it always finds

    - `person` (Person, or None before sign-in), `at` (At or None) and `keys_on` (whether shortcuts are on);
    - `store` (a `StoreShown`, or None) and `stores` (all of the person's);
    - `areas` (AreaShown: key, name, href, icon, badge, shortcut), `current` (the key of this one) and
      `overdue`;
    - `csrf` (the token; `fields.csrf()` makes the hidden field), `notices`, `now` (aware, UTC), `here`
      (path and query of this page);
    - the functions `asset("inbox.js")`, `clock_time(moment)`, `ago(moment)`, `when(moment)`,
      `span(seconds)`, `time_tag(moment)`, `number(n)`, `signed(x)`.

    Macros: `{% import "parts.html" as parts with context %}` (icon, clock, badge, tier, prio, score,
    avatar, owner, notice, time, empty) and `{% import "fields.html" as fields with context %}` (csrf, text,
    area, select, choice, submit). An undefined name is an error, and everything is escaped.
    """

    def __init__(
        self,
        *folders: Path,
        people: People,
        stores: Mapping[str, Store],
        urls: AreaUrls | None = None,
        current: str = "",
        overdue: Callable[[str], int] = lambda store: 0,
    ) -> None:
        self.people = people
        self.stores = stores
        self.urls = urls or AreaUrls()
        self.assets = Assets([*(folder / "static" for folder in folders), HERE / "static"])
        self._templates = environment(
            [*(folder / "templates" for folder in folders), HERE / "templates"], self.assets
        )
        self._current = current
        self._overdue = overdue

    @property
    def store_names(self) -> Mapping[str, str]:
        """What people call each store."""
        return {key: store.name for key, store in self.stores.items()}

    def html(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """The whole page. Shows waiting notices, and lengthens the session of who reads it."""
        raise NotImplementedError

    def part(self, request: Request, template: str, **context: Any) -> str:
        """The text of a template that is a piece of a page, for the live stream, in the same context."""
        raise NotImplementedError

    def go(self, request: Request, address: str, notice: Notice | None = None) -> Response:
        """303 to a page of ours after a form was taken, which shows the notice once.

        An Undo that does not fit into a cookie is left out, the notice stays.
        """
        raise NotImplementedError
