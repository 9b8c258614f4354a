"""Prometheus and Alertmanager as child processes beside the product, with the rules of production."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from deploy.local import ports
from deploy.local.errors import LocalStackError
from deploy.local.home import PROJECT, Home
from deploy.local.process import ChildProcess, wait_until
from deploy.local.services import probe

TOOLS = ("prometheus", "prometheus-alertmanager")  # named as their Debian packages
RULES = PROJECT / "deploy" / "prometheus" / "rules"
ALERTMANAGER = PROJECT / "deploy" / "prometheus" / "alertmanager.yml"
STOP_SECONDS = 10
# Those of the runbook's commands.
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093


class Observers:
    """The two servers; data and configuration in `$CLOSELOOP_HOME/observe`, ports kept there.

    `alerts_url` takes what Alertmanager sends. `rules` and `interval_seconds` are for tests, which cannot
    wait for minutes; `group_wait_seconds` replaces how long Alertmanager gathers news.
    """

    def __init__(
        self,
        home: Home,
        services: Mapping[str, str],
        *,
        alerts_url: str,
        rules: Path = RULES,
        interval_seconds: int = 5,
        group_wait_seconds: int | None = None,
    ) -> None:
        missing = [tool for tool in TOOLS if not _where(tool)]
        if missing:
            raise LocalStackError(
                f"{' and '.join(missing)} cannot be found",
                remedy="On Debian or Ubuntu: apt-get install --no-install-recommends " + " ".join(missing),
            )
        self._folder = home.root / "observe"
        self._alerts_url = alerts_url
        self._rules = rules
        self._interval = interval_seconds
        self._group_wait = group_wait_seconds
        self._services = services
        self.prometheus_url = self._address("prometheus", PROMETHEUS_PORT)
        self.alertmanager_url = self._address("alertmanager", ALERTMANAGER_PORT)
        self._processes = {
            name: ChildProcess(name, log=home.log(name), pid_file=home.pid_file(name))
            for name in ("alertmanager", "prometheus")
        }

    def _address(self, name: str, port: int) -> str:
        return f"http://{ports.LOOPBACK}:{ports.kept(self._folder / f'{name}.port', rather=port)}"

    def start(self) -> None:
        """Start both and wait until they are ready. LocalStackError, with the log, if they are not."""
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(self._prometheus()), encoding="utf-8")
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(self._alertmanager()), encoding="utf-8")
        for name, command in self._commands().items():
            process = self._processes[name]
            process.end_leftover()
            url = self.prometheus_url if name == "prometheus" else self.alertmanager_url
            port = urlsplit(url).port or 0
            ports.require_free(
                port, name, remedy=f"Remove {self._folder / f'{name}.port'} to choose another."
            )
            process.spawn(command, cwd=self._folder)
            wait_until(lambda p=process, u=url: p.pid is None or _ready(u), timeout_seconds=30)  # type: ignore[misc]
            if process.pid is None or not _ready(url):
                raise LocalStackError(f"{name} does not start", remedy=f"Its log: {process.log}")

    def ended(self) -> str | None:
        """The name of one that ended by itself."""
        return next((name for name, process in self._processes.items() if process.pid is None), None)

    def log(self, name: str) -> Path:
        return self._processes[name].log

    def stop(self) -> None:
        """Both, within seconds; the data is kept."""
        for name in ("prometheus", "alertmanager"):
            if self._processes[name].pid is not None:
                self._processes[name].stop(STOP_SECONDS)

    def _commands(self) -> dict[str, list[str]]:
        prometheus = urlsplit(self.prometheus_url).netloc
        alertmanager = urlsplit(self.alertmanager_url).netloc
        return {
            "alertmanager": [
                _where("prometheus-alertmanager"),
                f"--config.file={self._folder / 'alertmanager.yml'}",
                f"--storage.path={self._folder / 'alertmanager'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            "prometheus": [
                _where("prometheus"),
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'prometheus'}",
                f"--web.listen-address={prometheus}",
                "--storage.tsdb.retention.time=15d",
                "--log.level=warn",
            ],
        }

    def _prometheus(self) -> dict[str, Any]:
        seconds = f"{self._interval}s"
        return {
            "global": {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": seconds},
            "rule_files": [str(self._rules / "*.yml")],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [urlsplit(self.alertmanager_url).netloc]}]}]
            },
            "scrape_configs": [
                {
                    "job_name": f"closeloop-{name}",
                    "sample_limit": 2000,
                    "static_configs": [{"targets": [urlsplit(url).netloc]}],
                }
                for name, url in self._services.items()
            ],
        }

    def _alertmanager(self) -> dict[str, Any]:
        """The file of production; only who is told, and how soon, is ours."""
        config: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
        for receiver in config["receivers"]:
            for webhook in receiver["webhook_configs"]:
                webhook["url"] = f"{self._alerts_url}{urlsplit(webhook['url']).path}"
        if self._group_wait is not None:
            for route in (config["route"], *config["route"]["routes"]):
                route["group_wait"] = route["group_interval"] = f"{self._group_wait}s"
        return config


def _where(tool: str) -> str:
    """The binary, also where the package of another system calls it `alertmanager`."""
    return shutil.which(tool) or shutil.which(tool.removeprefix("prometheus-")) or ""


def _ready(url: str) -> bool:
    return probe(f"{url}/-/ready", timeout_seconds=1)[0]
