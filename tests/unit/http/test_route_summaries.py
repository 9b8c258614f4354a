"""The summaries of routes are held to a list: they are the headings of the API's documentation."""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
LIST = Path(__file__).with_name("route_summaries.txt")


def summaries(source: str) -> Iterator[str]:
    """What stands as `summary="..."` in the calls of a file; those of the table of cases' actions do not."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg="summary", value=ast.Constant(value=str(text))):
                yield text


def test_reads_summaries_and_nothing_else() -> None:
    assert list(summaries('@router.get("/v1/tiers", summary="Tiers", tags=["tiers"])\ndef f(): ...')) == [
        "Tiers"
    ]


def test_routes_keep_their_summaries() -> None:
    files = [file for top in ("services", "shared") for file in (PROJECT / top).rglob("*.py")]
    in_code = {text for file in files for text in summaries(file.read_text(encoding="utf-8"))}
    listed = LIST.read_text(encoding="utf-8").splitlines()
    assert listed == sorted(set(listed)), f"{LIST.name} is sorted, each summary once"
    assert in_code == set(listed), (
        f"gone: {sorted(set(listed) - in_code)}; new: {sorted(in_code - set(listed))}. Readers of the API"
        f" find a route by its summary. Bring one back that a refactoring changed; a change that is"
        f" meant, and the summary of a new route, go into {LIST.relative_to(PROJECT)}."
    )
