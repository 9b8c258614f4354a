"""One fact a line, with fields from a list, and no personal text."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from shared.ops import logs

PROJECT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
SECRET = "jane@example.com"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Call it for the lines written so far."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "uvicorn", "asyncio", "alembic")}
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, write_through=True))
    logs.configure("scorer", "INFO")
    yield lambda: [json.loads(line) for line in output.getvalue().splitlines()]
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)


def broken() -> None:
    raise ValueError(SECRET)


class TestALine:
    def test_has_its_fields_and_says_who_and_when(self, lines: Any) -> None:
        logs.log("cases").info("case.opened", case_id="c-1", store="s")
        (line,) = lines()

        assert line.pop("time").endswith("Z")
        assert line == {
            "event": "case.opened",
            "level": "info",
            "service": "scorer",
            "component": "cases",
            "case_id": "c-1",
            "store": "s",
        }

    def test_drops_fields_that_are_not_on_the_list(self, lines: Any) -> None:
        logs.log("cases").info("case.opened", comment=SECRET, email=SECRET)

        assert SECRET not in str(lines())

    def test_with_a_field_that_is_not_on_the_list_raises_in_tests(self) -> None:
        with pytest.raises(logs.UndeclaredField, match=r"case\.opened: comment"):
            logs.log("cases").info("case.opened", case_id="c-1", comment=SECRET)

    def test_shows_an_exception_by_its_type_and_place_alone(self, lines: Any) -> None:
        try:
            broken()
        except ValueError as error:
            logs.log("cases").error("case.failed", exc_info=error)
            logs.log("cases").exception("case.failed")
        both = lines()

        assert [line["error_type"] for line in both] == ["ValueError"] * 2
        assert all("test_logs.py:" in line["error"] for line in both)
        assert SECRET not in str(both)

    def test_carries_what_is_bound_around_it(self, lines: Any) -> None:
        with structlog.contextvars.bound_contextvars(correlation_id="abc"):
            logs.log("cases").info("case.opened")

        assert lines()[0]["correlation_id"] == "abc"


class TestTheCallsOfTheLog:
    def test_name_declared_fields_only(self) -> None:
        """Read from the source: a call in a loop that survives every exception would raise unseen."""
        undeclared = [
            f"{path.relative_to(PROJECT)}:{call.lineno} {keyword.arg}"
            for folder in ("services", "shared", "cli")
            for path in sorted((PROJECT / folder).rglob("*.py"))
            for call in ast.walk(ast.parse(path.read_text()))
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("_log.")
            for keyword in call.keywords
            if keyword.arg not in {*logs.FIELDS, "exc_info"}
        ]
        assert undeclared == []


class TestALibrarysLine:
    def test_looks_like_ours(self, lines: Any) -> None:
        logging.getLogger("sqlalchemy.pool").warning("the pool is %s", "full")
        (line,) = lines()

        assert line["event"] == "the pool is full"
        assert (line["level"], line["service"], line["logger"]) == ("warning", "scorer", "sqlalchemy.pool")

    def test_shows_an_exception_by_its_type_and_place_alone(self, lines: Any) -> None:
        try:
            broken()
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        (line,) = lines()

        assert line["error_type"] == "ValueError"
        assert SECRET not in str(line)

    def test_of_a_noisy_one_is_left_out(self, lines: Any) -> None:
        logging.getLogger("aiokafka.conn").error("Connect to %s failed", "broker")

        assert lines() == []
