"""A command asks a service through its `operations` only, also where the module's name is put together."""

import ast
import re
from pathlib import Path

import cli

FOLDER = Path(cli.__file__).parent
SERVICE_MODULE = re.compile(r"services\.[\w.{}]+")


def text_of(node: ast.AST) -> str:
    """A string as it is written; `{}` stands for what is put into it."""
    match node:
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) for value in values)
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue():
            return "{}"
    return ""


def module_names(source: str) -> set[str]:
    """The modules of services that the strings of a file name, whole."""
    texts = (text_of(node) for node in ast.walk(ast.parse(source)))
    return {text for text in texts if SERVICE_MODULE.fullmatch(text)}


class TestDynamicImports:
    def test_are_found_in_plain_and_formatted_strings(self) -> None:
        source = 'a = "services.scorer.app"\nb = f"services.{name}.app"\n'
        assert module_names(source) == {"services.scorer.app", "services.{}.app"}

    def test_name_operations_only(self) -> None:
        names = {name for file in FOLDER.rglob("*.py") for name in module_names(file.read_text())}
        assert names
        assert all(re.fullmatch(r"services\.(\w+|\{\})\.operations", name) for name in names)
