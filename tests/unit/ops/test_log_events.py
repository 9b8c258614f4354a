"""The names of log events are held to a list: operators search their logs and set alerts by them."""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
LIST = Path(__file__).with_name("log_events.txt")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def named_events(source: str) -> Iterator[str]:
    """The first argument of each `_log.<level>(...)`, with `{}` for what is filled in at run time."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("_log"), attr=level), args=[name, *_]) if (
                level in LEVELS
            ):
                yield _template(name)


def _template(name: ast.expr) -> str:
    match name:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
    raise AssertionError(f"a log event needs a literal name, so that it can be searched: {ast.unparse(name)}")


def test_reads_literal_and_filled_in_names_and_nothing_else() -> None:
    source = '_log.info("case.opened", count=1)\n_log.warning(f"{cache}.stale")\nwaiter.exception()\n'
    assert list(named_events(source)) == ["case.opened", "{}.stale"]


def test_log_events_keep_their_names() -> None:
    files = [file for top in ("services", "shared") for file in (PROJECT / top).rglob("*.py")]
    in_code = {event for file in files for event in named_events(file.read_text(encoding="utf-8"))}
    listed = LIST.read_text(encoding="utf-8").splitlines()
    assert listed == sorted(set(listed)), f"{LIST.name} is sorted, each name once"
    assert in_code == set(listed), (
        f"gone: {sorted(set(listed) - in_code)}; new: {sorted(in_code - set(listed))}. Operators search their"
        f" logs and set alerts by these names. Bring a name back that a refactoring changed; a change that is"
        f" meant, and a new event, go into {LIST.relative_to(PROJECT)}."
    )
