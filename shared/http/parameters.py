"""Refuses query parameters that a route does not have: a typo would read another list than was asked for."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, get_origin

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import QueryParams

from shared.http.problems import Problem, pointer

StoreName = Annotated[str | None, Query(description="The key's own store; another one is 404")]
"""The parameter `store`, which every route with a key has."""

_MOST_ERRORS = 20
_TRACKING = ("utm_", "mc_", "gclid", "fbclid", "msclkid")
"""How the parameters begin that mail programs and search engines add to the links of pages."""


async def check_parameters(request: Request) -> None:
    """A dependency of the whole application: every parameter is one that the route declares, and sent once.

    Pages are not checked here: those with a filter have a `page_parameters` of their own. Raises Problem 422.
    """
    route = request.scope.get("route")
    if request.scope["query_string"] and isinstance(route, APIRoute) and route.include_in_schema:
        check_query(request.query_params, dict(_declared(route.dependant)))


def page_parameters(*names: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency of a page with a filter: it has these parameters, and ignores what tracks a reader."""
    declared = dict.fromkeys(names, False)

    async def check(request: Request) -> None:
        sent = request.query_params.multi_items()
        check_query(
            QueryParams([(name, value) for name, value in sent if not name.startswith(_TRACKING)]), declared
        )

    return check


def check_query(sent: QueryParams, declared: Mapping[str, bool]) -> None:
    """Raises Problem 422 for a parameter that is not declared, or sent twice although it has one value.

    `declared`: whether a parameter may be repeated, by its name.
    """
    errors = []
    for name in sent:
        if name not in declared:
            errors.append({"pointer": pointer(("query", name)), "detail": _unknown(name, declared)})
        elif not declared[name] and len(sent.getlist(name)) > 1:
            errors.append({"pointer": pointer(("query", name)), "detail": "Send it once: it has one value."})
    if errors:
        raise Problem(
            422,
            "invalid",
            f"{errors[0]['pointer'].removeprefix('/query/')}: {errors[0]['detail']}",
            errors=errors[:_MOST_ERRORS],
        )


def _unknown(name: str, declared: Iterable[str]) -> str:
    names = sorted(declared)
    if not names:
        return "There is no such parameter: this address has none."
    near = get_close_matches(name[:64], names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no such parameter.{hint} This address has: {', '.join(names)}."


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The query parameters of a route and of all that it depends on; whether each may be repeated."""
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, inner in kind.model_fields.items():
                yield inner.alias or name, get_origin(inner.annotation) is list
        else:
            yield field.alias, get_origin(kind) is list
    for dependency in dependant.dependencies:
        yield from _declared(dependency)
