"""The metrics and labels that an expression names, from its syntax tree."""

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

GRAFANA = {"$__rate_interval": "30s", "$__interval": "15s", "$__range": "1h"}
CHILDREN = ("expr", "lhs", "rhs", "param", "vector_selector", "vs", "selector")


def filled(expression: str, **variables: str) -> str:
    """The expression as Grafana sends it."""
    for name, value in (GRAFANA | {f"${name}": value for name, value in variables.items()}).items():
        expression = expression.replace(name, value)
    return expression


def nodes(expression: str) -> Iterator[Any]:
    """Every node of the tree."""
    yield from _below(promql.parse(expression))


def _below(node: Any) -> Iterator[Any]:
    yield node
    for name in CHILDREN:
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str | int | float):
            yield from _below(child)
    args = getattr(node, "args", None)
    for child in args or ():
        yield from _below(child)


def metrics_of(expression: str) -> dict[str, set[str]]:
    """Each metric with the labels by which it is selected."""
    found: dict[str, set[str]] = {}
    for node in nodes(expression):
        if isinstance(node, promql.VectorSelector) and node.name:
            names = found.setdefault(node.name, set())
            names.update(matcher.name for matcher in node.matchers.matchers)
    return found


def grouping_labels(expression: str) -> set[str]:
    """The labels of every `by`, `on` and `group_left`."""
    found: set[str] = set()
    for node in nodes(expression):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql.AggregateExpr) and modifier is not None:
            found.update(modifier.labels)
        if isinstance(node, promql.BinaryExpr) and modifier is not None and modifier.matching is not None:
            found.update(modifier.matching.labels)
    return found
