"""The rules by themselves: lint, generated parts, both cases for each alert, and who is told."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.catalogue import declared
from deploy.prometheus.page import alert_rules
from tests.observability.promql import grouping_labels, metrics_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
CASES = sorted((FOLDER / "tests").glob("*_test.yml"))
# What Prometheus itself and every Python process give, and the labels that a target has.
AROUND = {"up": set(), "process_start_time_seconds": set(), "ALERTS": {"alertname", "alertstate"}}
TARGET = {"job", "instance"}
ALERTS = sorted({rule["alert"] for rule in alert_rules()})


def ran(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules_of(files: list[Path]) -> list[dict[str, Any]]:
    loaded = [yaml.safe_load(file.read_text()) for file in files]
    return [rule for content in loaded for group in content["groups"] for rule in group["rules"]]


def cases() -> list[dict[str, Any]]:
    return [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]


class TestTheFiles:
    def test_pass_the_lint_of_promtool_and_amtool(self, tools: None, rule_files: list[Path]) -> None:
        ran("promtool", "check", "rules", "--lint=all", "--lint-fatal", *rule_files)
        ran("promtool", "check", "config", FOLDER / "prometheus.yml")
        ran("amtool", "check-config", FOLDER / "alertmanager.yml")

    def test_do_what_their_cases_say(self, tools: None) -> None:
        ran("promtool", "test", "rules", *CASES)

    @pytest.mark.parametrize("package", ["deploy.prometheus", "deploy.grafana"])
    def test_are_what_their_generator_writes(self, package: str) -> None:
        ran(sys.executable, "-m", package, "--check")


class TestAnAlert:
    def test_is_one_of_the_few_that_somebody_gets_up_for(self) -> None:
        assert 12 <= len(ALERTS) <= 17

    @pytest.mark.parametrize("alert", ALERTS)
    def test_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent(self, alert: str) -> None:
        checks = [
            check
            for case in cases()
            if case["name"].startswith(f"{alert} ")
            for check in case["promql_expr_test"]
            if f'alertname="{alert}"' in check["expr"]
        ]
        assert any(check["exp_samples"] for check in checks), "no case in which it fires"
        assert any(not check["exp_samples"] for check in checks), "no case in which it is silent"

    def test_says_what_is_wrong_how_urgent_and_what_to_do(self) -> None:
        for rule in alert_rules():
            told = rule["annotations"]
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert told["summary"] and told["description"], rule["alert"]
            assert told["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")

    def test_uses_labels_in_its_texts_that_it_has(self) -> None:
        """Of a series that is gone no label is left: `absent` has only those of its selector."""
        for rule in alert_rules():
            used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            has = grouping_labels(rule["expr"]) | set(re.findall(r'"(\w+)", "closeloop-', rule["expr"]))
            for name in metrics_of(rule["expr"]):
                if ":" in name:  # recorded by the labels in its first part
                    has |= {"group": {"job", "group"}, "job": {"job"}}.get(name.partition(":")[0], set())
            assert used <= has, f"{rule['alert']} has {has}"


class TestAMetricInARule:
    def test_is_in_the_catalogue_with_its_labels(self, rule_files: list[Path]) -> None:
        rules = rules_of(rule_files)
        known = {name: set(labels) | TARGET for one in declared() for name, labels in one.series.items()}
        known |= {name: labels | TARGET for name, labels in AROUND.items()}
        for rule in rules:
            if "record" in rule:
                by = grouping_labels(rule["expr"]) | set(rule.get("labels", {}))
                known.setdefault(rule["record"], set()).update(by)
        for rule in rules:
            named = metrics_of(rule["expr"])
            for name, labels in named.items():
                assert name in known, f"nobody exports {name}"
                assert labels <= known[name], f"{name} has no label {labels - known[name]}"
            grouped = grouping_labels(rule["expr"])
            allowed = set().union(*(known[name] for name in named)) if named else set()
            assert grouped <= allowed, f"{rule.get('record') or rule['alert']}: {grouped - allowed}"


class TestWhoIsTold:
    @pytest.mark.parametrize(
        ("labels", "receiver"),
        [
            ({"alertname": "CloseloopServiceDown", "severity": "page"}, "on-call"),
            ({"alertname": "CloseloopDeadLettersWaiting", "severity": "ticket"}, "tickets"),
            ({"alertname": "SomethingElse"}, "tickets"),
        ],
    )
    def test_goes_by_severity(self, tools: None, labels: dict[str, str], receiver: str) -> None:
        pairs = [f"{name}={value}" for name, value in labels.items()]
        config = f"--config.file={FOLDER / 'alertmanager.yml'}"
        assert ran("amtool", "config", "routes", "test", config, *pairs).strip() == receiver

    def test_an_inhibition_names_alerts_that_exist(self) -> None:
        text = yaml.safe_dump(yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["inhibit_rules"])
        named = set(re.findall(r"Closeloop\w+", text))
        assert named and named <= set(ALERTS)
