"""Each alert has its page, each page its alert, and what a page tells to type exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.main import COMMANDS, build
from deploy.prometheus.page import alert_rules

ROOT = Path(__file__).parents[2]
PAGES = {page.stem: page.read_text() for page in sorted((ROOT / "docs" / "runbooks").glob("*.md"))}
ALERTS = sorted({rule["alert"] for rule in alert_rules()})
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Verify fixed", "Drill"]
TOOLS = {"closeloop", "kubectl", "promtool", "psql", "curl"}


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert sorted(PAGES) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
class TestAPage:
    def test_has_every_section_with_something_in_it(self, alert: str) -> None:
        parts = re.split(r"^## (.+)$", PAGES[alert], flags=re.MULTILINE)
        assert parts[1::2] == SECTIONS
        assert all(len(text.strip()) > 20 for text in parts[2::2])

    def test_leads_to_the_shell_in_which_they_work(self, alert: str) -> None:
        assert "(../operators-shell.md)" in PAGES[alert].partition("## ")[0]

    def test_tells_commands_that_start_with_a_known_tool(self, alert: str) -> None:
        told = commands(PAGES[alert])
        assert told
        for line in told:
            assert shlex.split(line)[0] in TOOLS, line

    def test_names_files_that_are_there(self, alert: str) -> None:
        for path in re.findall(r"`((?:tests|deploy|docs)/[\w./-]+)`", PAGES[alert]):
            assert (ROOT / path).exists(), path
        for path, anchor in re.findall(r"\]\((\.\.?/[\w./-]+)#([\w-]+)\)", PAGES[alert]):
            headings = re.findall(r"^## (.+)$", (ROOT / "docs/runbooks" / path).read_text(), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings]

    def test_names_commands_of_ours_that_there_are(self, alert: str) -> None:
        for line in commands(PAGES[alert]):
            words = shlex.split(line)
            if words[0] != "closeloop":
                continue
            assert words[1] in COMMANDS, line
            command = typer.main.get_command(build([words[1]]))
            group = command.commands[words[1]]  # type: ignore[attr-defined]
            inner = getattr(group, "commands", None)
            alone = getattr(group, "invoke_without_command", False) and not "".join(words[2:3]).isalpha()
            assert inner is None or alone or words[2] in inner, line

    def test_names_workloads_of_the_cluster_that_there_are(self, alert: str) -> None:
        names = set(re.findall(r"(?m)^  name: ([\w-]+)$", _manifests()))
        for name in re.findall(r"kubectl .*\bdeploy/([\w-]+)", PAGES[alert]):
            assert name in names, name

    def test_asks_for_metrics_that_there_are(self, alert: str) -> None:
        """What it queries is in the rules or in the catalogue."""
        from deploy.prometheus.catalogue import declared
        from tests.observability.promql import metrics_of

        known = {name for one in declared() for name in one.series} | {"process_start_time_seconds"}
        for expression in re.findall(r"'query=([^']+)'", PAGES[alert]):
            for name in metrics_of(expression):
                assert name in known or f"record: {name}" in _rules(), name


def _manifests() -> str:
    return "".join(file.read_text() for file in (ROOT / "deploy" / "k8s").rglob("*.yaml"))


def _rules() -> str:
    folder = ROOT / "deploy" / "prometheus" / "rules"
    return "".join(file.read_text() for file in folder.glob("*.yml"))
