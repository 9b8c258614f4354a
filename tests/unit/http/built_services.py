"""The applications of all four services, made as their processes make them, without any engine."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.ops.settings import PlatformSettings
from shared.service.serving import Loops

PROJECT = Path(__file__).resolve().parents[3]
SERVICES = ("collector", "scorer", "segmenter", "notifier")


def built(service: str, *, listens_at: str = "0.0.0.0", **platform: Any) -> Any:
    """The ASGI application of a service. `platform`: settings of all services, by their names."""
    settings = PlatformSettings(
        database_url="postgresql://nobody:nothing@127.0.0.1:1/none",
        kafka_bootstrap_servers="127.0.0.1:1",
        closeloop_secret="s" * 32,
        closeloop_config=PROJECT / "closeloop.yaml",
        **platform,
    )
    settings_class = getattr(import_module(f"services.{service}.settings"), f"{service.capitalize()}Settings")
    return import_module(f"services.{service}.app").build(settings, settings_class(host=listens_at), Loops())


def api_of(application: Any) -> Any:
    """The FastAPI application behind the collector's front, or the application itself."""
    return getattr(application, "app", application)


def routes_of(application: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route, with `a1` for each parameter; hidden ones too."""
    for path, methods in _routes(api_of(application).routes):
        for method in sorted(methods - {"HEAD"}):
            yield method, re.sub(r"{[\w:]+}", "a1", path)


def _routes(routes: Any) -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route.path, route.methods
            continue
        for path, methods in _routes(inner.routes):
            yield route.include_context.prefix + path, methods
