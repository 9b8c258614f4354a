"""The applications of all four services, made as their processes make them, without any engine."""

from importlib import import_module
from pathlib import Path
from typing import Any

from shared.ops.settings import PlatformSettings
from shared.service.serving import Loops

PROJECT = Path(__file__).resolve().parents[3]
SERVICES = ("collector", "scorer", "segmenter", "notifier")


def built(service: str, **settings: Any) -> Any:
    """The ASGI application of a service. `settings`: its own, by their names."""
    platform = PlatformSettings(
        database_url="postgresql://nobody:nothing@127.0.0.1:1/none",
        kafka_bootstrap_servers="127.0.0.1:1",
        closeloop_secret="s" * 32,
        closeloop_config=PROJECT / "closeloop.yaml",
    )
    settings_class = getattr(import_module(f"services.{service}.settings"), f"{service.capitalize()}Settings")
    return import_module(f"services.{service}.app").build(platform, settings_class(**settings), Loops())


def api_of(application: Any) -> Any:
    """The FastAPI application behind the collector's front, or the application itself."""
    return getattr(application, "app", application)
