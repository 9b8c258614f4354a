"""Pages in HTML, with the same base, style sheet and top bar in every service.

`AREAS` are the parts of the product that have pages, `Pages` makes a page from its template.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.access import Person, Role
from shared.config.stores import Store
from shared.http.assets import Assets
from shared.http.problems import Problem
from shared.ops.logs import log
from shared.pages import wording
from shared.pages.cookies import PageSettings
from shared.pages.notices import FlashMessage
from shared.pages.people import PersonAtStore, Visitors, store_of

_log = log("web")
PAGES_FOLDER = Path(__file__).parent


def environment(folders: Sequence[Path], assets: Assets) -> Environment:
    """Jinja's: the first folder that has a template wins, all is escaped, an unknown name is an error."""
    jinja = Environment(
        loader=FileSystemLoader([str(folder) for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    jinja.globals.update(wording.FUNCTIONS)
    jinja.globals["asset"] = assets.address
    return jinja


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the product that has pages. `key` names it in templates (`current`) and `CLOSELOOP_URLS`."""

    key: str
    name: str
    path: str
    icon: str
    shortcut: str


AREAS: tuple[Area, ...] = (Area("inbox", "Inbox", "/inbox", "inbox", "i"),)
"""All areas. A service that gets pages adds its own here."""


class AreaUrls:
    """The addresses of the areas: on the same host, unless the environment says otherwise."""

    def __init__(self, bases: Mapping[str, str] | None = None) -> None:
        """`bases`: scheme, host and port by the area's key. Raises ValueError for an unknown key."""
        self._bases = {key: base.rstrip("/") for key, base in (bases or {}).items()}
        if unknown := self._bases.keys() - {area.key for area in AREAS}:
            raise ValueError(f"there is no area {', '.join(sorted(unknown))}")

    def of(self, area: Area) -> str:
        return self._bases.get(area.key, "") + area.path

    @property
    def first(self) -> str:
        """Where somebody lands who signs in without having asked for a page."""
        return self.of(AREAS[0])


@dataclass(frozen=True, slots=True)
class StoreShown:
    """A store as the store switcher shows it."""

    key: str
    name: str
    zone: ZoneInfo
    role: Role
    current: bool

    @property
    def mark(self) -> str:
        return self.name[:1].upper()


@dataclass(frozen=True, slots=True)
class AreaShown:
    """An area as the top bar shows it; `badge` counts what is overdue there."""

    key: str
    name: str
    href: str
    icon: str
    shortcut: str
    current: bool
    badge: int


class Pages:
    """Makes pages from the templates of `folders` and of `shared/pages`.

    A folder holds `templates/` (Jinja) and `static/` (served at `/assets/{hash}/`). `current` is the key of
    the area that this application serves. `overdue` returns how many cases of a store are overdue; every page
    shows it, so it must answer from memory. There is one object for each application, at `app.state.pages`,
    set there by `shared.pages.door.add_pages`.

    A template extends `base.html` and fills its blocks: `title` (without the product's name), `head`,
    `main`, `scripts` (modules of its own) and `keys` (its lists in the keyboard help). It always finds

    - `person` (Person, None before sign-in), `at` (At or None);
    - `keys_on` (whether shortcuts are on);
    - `store` (StoreShown or None) and `stores` (all of the person's);
    - `areas` (AreaShown) and `overdue`;
    - `csrf` (the token; `fields.csrf_field()` makes the hidden field), `notices`, `now` (aware, UTC), `here`
      (path and query of this page);
    - the functions `asset("inbox.js")`, `ago(moment)` and `when(moment)` (`<time>` in the store's zone),
      `span(seconds)`, `number(n, digits)`, `signed(x, digits)`, `percent(part)`.

    Macros: `{% import "parts.html" as parts with context %}` and `{% import "fields.html" as fields with
    context %}`; each file says at its top what it has. An undefined name is an error; all is escaped.
    """

    def __init__(
        self,
        *folders: Path,
        visitors: Visitors,
        stores: Mapping[str, Store],
        urls: AreaUrls | None = None,
        current: str = "",
        overdue: Callable[[str], int] = lambda store: 0,
    ) -> None:
        self.visitors = visitors
        self.stores = stores
        self.urls = urls or AreaUrls(PageSettings().closeloop_urls)
        self.assets = Assets([*(folder / "static" for folder in folders), PAGES_FOLDER / "static"])
        self._templates = environment(
            [*(folder / "templates" for folder in folders), PAGES_FOLDER / "templates"], self.assets
        )
        self._current = current
        self._overdue = overdue

    @property
    def store_names(self) -> Mapping[str, str]:
        """The name of each store, by its key."""
        return {key: store.name for key, store in self.stores.items()}

    @property
    def home(self) -> str:
        """The first page of this application's area."""
        return next((area.path for area in AREAS if area.key == self._current), self.urls.first)

    def html(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A whole page. It shows the notice that waits, and lengthens the reader's session cookie."""
        cookies = self.visitors.cookies
        person = self.visitors.known(request)
        if person is None:
            cookies.begin_visit(request)
        flash = cookies.flash(request)
        notices = [FlashMessage.unpacked(flash)] if flash else []
        variables = {"status": status, "notices": notices, **context}
        response = HTMLResponse(self.part(request, template, **variables), status)
        if person is None:
            cookies.begin_visit(request, response)
        else:
            cookies.set_session(request, response, cookies.session(request), ends=person.session_ends)
        cookies.end_flash(request, response)
        return response

    def part(self, request: Request, template: str, **context: Any) -> str:
        """The text of a template that is a piece of a page, for the live stream, with the same variables."""
        return self._templates.get_template(template).render(self._context(request) | context)

    def go(self, request: Request, address: str, notice: FlashMessage | None = None) -> Response:
        """Answer a form with 303 to a page of ours, which shows the notice once.

        When the notice does not fit into a cookie, its Undo is left out and its text cut.
        """
        response = RedirectResponse(address, 303)
        if notice and not self.visitors.cookies.set_flash(request, response, notice.packed()):
            _log.warning("notice.too_large")
            short = FlashMessage(notice.kind, notice.text[:400], notice.heading[:100])
            self.visitors.cookies.set_flash(request, response, short.packed())
        return response

    def _context(self, request: Request) -> dict[str, Any]:
        person = self.visitors.known(request)
        at = self._at(request, person) if person else None
        stores = self._stores(person, at) if person else []
        overdue = self._overdue(at.store) if at else 0
        query = f"?{request.url.query}" if request.url.query else ""
        return {
            "person": person,
            "at": at,
            "store": next((store for store in stores if store.current), None),
            "stores": stores,
            "areas": self._areas(overdue) if at else [],
            "overdue": overdue,
            "csrf": self.visitors.csrf(request),
            "keys_on": person.shortcuts if person else False,
            "notices": [],
            "now": datetime.now(UTC),
            "here": request.url.path + query,
            "first": self.urls.first,
        }

    def _at(self, request: Request, person: Person) -> PersonAtStore | None:
        """The person and store that the route checked; on other pages, the store that was chosen last."""
        at: PersonAtStore | None = getattr(request.state, "at", None)
        if at is not None:
            return at
        try:
            return store_of(request, person)
        except Problem:
            return None

    def _stores(self, person: Person, at: PersonAtStore | None) -> list[StoreShown]:
        chosen = at.store if at else ""
        return [
            StoreShown(key, self.stores[key].name, self.stores[key].zone, role, key == chosen)
            for key, role in person.stores.items()
            if key in self.stores
        ]

    def _areas(self, overdue: int) -> list[AreaShown]:
        return [
            AreaShown(
                area.key,
                area.name,
                self.urls.of(area),
                area.icon,
                area.shortcut,
                area.key == self._current,
                overdue if area.key == "inbox" else 0,
            )
            for area in AREAS
        ]
