"""The card of each service (`services/<s>/__init__.py`) names the topics that its code takes and emits."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

from shared.config import load
from shared.config.secrets import Secrets
from shared.events import Event
from shared.events.topics import TOPICS, Topic

ROOT = Path(__file__).parents[3]
CONSUMERS = ("scorer", "segmenter", "notifier")
SERVICES = ("collector", *CONSUMERS)
FIELDS = ["Takes", "Owns", "Emits", "Promises"]
TOPIC = re.compile(r"\b[a-z]+\.[a-z]+\.v\d+\b")


def card(service: str) -> dict[str, str]:
    """The text of each field of the card, in their order on it."""
    text = import_module(f"services.{service}").__doc__ or ""
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[1].splitlines():
        if begins := re.match(r"([A-Z][a-z]+) +(.*)", line):
            field = begins[1]
            fields[field] = begins[2]
        elif line.strip():
            assert line.startswith(" " * 10), f"{service}: a line of the card is not indented: {line!r}"
            fields[field] += f" {line.strip()}"
    return fields


def named(text: str) -> set[str]:
    return set(TOPIC.findall(text))


def modules(service: str) -> Iterator[ModuleType]:
    package = import_module(f"services.{service}")
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield import_module(found.name)


def calls(module: ModuleType) -> Iterator[ast.Call]:
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def made_events(service: str) -> set[type[Event]]:
    """The events that some call in the service's code makes."""
    made = set()
    for module in modules(service):
        for call in calls(module):
            target = vars(module).get(call.func.id) if isinstance(call.func, ast.Name) else None
            if isinstance(target, type) and issubclass(target, Event):
                made.add(target)
    return made


def consumed(service: str) -> set[str]:
    """The topics that the composition root gives to its consumer."""
    app = import_module(f"services.{service}.app")
    names: set[str] = set()
    for call in calls(app):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "consume":
            topics = eval(compile(ast.Expression(call.args[0]), "app.py", "eval"), vars(app))
            names |= {topic.name for topic in topics if isinstance(topic, Topic)}
    return names


@pytest.mark.parametrize("service", SERVICES)
class TestCard:
    def test_has_the_four_fields_in_their_order(self, service: str) -> None:
        assert list(card(service)) == FIELDS

    def test_names_topics_that_there_are(self, service: str) -> None:
        assert named(" ".join(card(service).values())) <= {topic.name for topic in TOPICS}

    def test_takes_what_is_consumed(self, service: str) -> None:
        assert named(card(service)["Takes"]) == consumed(service)

    def test_emits_what_the_code_makes(self, service: str) -> None:
        assert named(card(service)["Emits"]) == {event.topic.name for event in made_events(service)}


@pytest.mark.parametrize("service", CONSUMERS)
def test_every_topic_that_is_consumed_has_a_handler(service: str) -> None:
    operations = import_module(f"services.{service}.operations")
    handlers = operations.replay_handlers(load(ROOT / "closeloop.yaml", {}), Secrets("x" * 32))
    assert {event.topic.name for event in handlers} == consumed(service)
