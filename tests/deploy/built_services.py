"""The four services as their code says they are, without anything being connected."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from shared.ops.settings import ListenSettings, PlatformSettings
from shared.service.runtime import Runtime
from shared.service.serving import Loops
from tests.deploy.manifests import PROJECT, SECRET_VALUE

OPERATIONS = {"/livez", "/readyz", "/metrics"}


@dataclass(frozen=True)
class Service:
    """What the code of a service says of itself."""

    name: str
    settings: type[ListenSettings]
    group: str | None
    topics: tuple[str, ...]
    paths: frozenset[str]
    """Of its routes, with `x` for each parameter; not those of operations."""


def built(name: str) -> Service:
    platform = PlatformSettings(
        database_url="postgresql://nobody:nothing@127.0.0.1:1/none",
        kafka_bootstrap_servers="127.0.0.1:1",
        closeloop_secret=SECRET_VALUE,
        closeloop_config=PROJECT / "closeloop.yaml",
    )
    settings: type[ListenSettings] = getattr(
        import_module(f"services.{name}.settings"), f"{name.capitalize()}Settings"
    )
    consumers: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        original = Runtime.consume

        def consume(self: Runtime, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **named)
            consumers.extend(self._consumers)

        patch.setattr(Runtime, "consume", consume)
        app = import_module(f"services.{name}.app").build(platform, settings(), Loops())
    (consumer,) = consumers or [None]
    paths = frozenset(_paths(getattr(app, "app", app).routes))
    return Service(
        name,
        settings,
        consumer.group if consumer else None,
        tuple(sorted(consumer.topics)) if consumer else (),
        frozenset(path for path in paths if path not in OPERATIONS and "oauth2" not in path),
    )


def _paths(routes: Any, before: str = "") -> Iterator[str]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _paths(inner.routes, before + route.include_context.prefix)
        else:
            parts = (before + route.path).split("/")
            yield "/".join("x" if part.startswith("{") else part for part in parts)
