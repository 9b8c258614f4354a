"""Each dashboard as a file, and each of its expressions against a Prometheus that watches the product."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.__main__ import FOLDER
from deploy.prometheus.catalogue import declared
from tests.e2e.eventually import eventually
from tests.e2e.shop import Shop
from tests.observability.promql import filled, metrics_of
from tests.observability.server import Prometheus

FILES = sorted(FOLDER.glob("*.json"))
OF_THE_PROCESS = {
    "up", "ALERTS", "process_start_time_seconds", "process_cpu_seconds_total",
    "process_resident_memory_bytes", "process_open_fds",
}  # fmt: skip
ANY = {"group": ".*", "job": ".*", "store": ".*"}


def boards() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in FILES]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for board in boards():
        for panel in board["panels"]:
            yield f"{board['uid']}: {panel['title']}", panel


TARGETS = [
    pytest.param(target, id=f"{name} {target['refId']}")
    for name, panel in panels()
    for target in panel["targets"]
]


class TestTheFiles:
    def test_are_four_and_known_by_their_own_uid(self) -> None:
        assert [board["uid"] for board in boards()] == [file.stem for file in FILES]
        assert len(FILES) == 4

    def test_survive_the_models_of_grafana(self) -> None:
        for board in boards():
            assert Dashboard.from_json(board).title == board["title"]

    def test_let_the_reader_choose_the_data_source(self) -> None:
        for board in boards():
            assert board["templating"]["list"][0]["type"] == "datasource"
        for name, panel in panels():
            assert panel["datasource"]["uid"] == "${datasource}", name

    def test_say_of_each_panel_what_it_shows_and_in_what_unit(self) -> None:
        for name, panel in panels():
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], name

    def test_lay_no_panel_over_another(self) -> None:
        for board in boards():
            for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
                apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
                assert apart_x or apart_y, board["uid"]

    def test_name_metrics_and_labels_of_the_catalogue(self) -> None:
        known = {name: labels for one in declared() for name, labels in one.series.items()}
        for name, panel in panels():
            for target in panel["targets"]:
                for metric, labels in metrics_of(filled(target["expr"], **ANY)).items():
                    if metric in OF_THE_PROCESS or metric.startswith("closeloop:"):
                        continue
                    assert metric in known, name
                    assert labels <= known[metric] | {"job", "instance"}, name


class TestAnExpression:
    @pytest.mark.parametrize("target", TARGETS)
    async def test_shows_something(
        self, target: dict[str, Any], prometheus: Prometheus, traffic: Shop
    ) -> None:
        expression = filled(target["expr"], **ANY)
        instant = bool(target.get("instant"))
        await eventually(lambda: prometheus.has_values(expression, instant=instant), within_seconds=45)


class TestAVariable:
    async def test_has_values(self, prometheus: Prometheus, traffic: Shop) -> None:
        for board in boards():
            for variable in board["templating"]["list"][1:]:
                selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
                assert await prometheus.values_of(label, selector), variable["name"]

    async def test_the_mark_of_a_start_is_an_expression(self, prometheus: Prometheus, traffic: Shop) -> None:
        for board in boards():
            for mark in board["annotations"].get("list", []):
                await prometheus.query(filled(mark["expr"]))
