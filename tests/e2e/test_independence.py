"""The journeys know the product from outside only."""

import ast
from pathlib import Path

PRODUCT = {"cli", "deploy", "services", "shared"}


def imported(file: Path) -> set[str]:
    """The top-level names of what a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


class TestTheJourneys:
    def test_import_nothing_of_the_product(self) -> None:
        files = list(Path(__file__).parent.glob("*.py"))
        assert files
        assert {file.name: imported(file) & PRODUCT for file in files if imported(file) & PRODUCT} == {}
