"""`closeloop observe`: Prometheus and Alertmanager beside the running copy; prints each alert as it comes."""

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

import typer

from cli import CommandError
from cli.product import demo
from cli.receiving import Receiver, serving
from deploy.local.home import PROJECT, Home
from deploy.local.observing import Observers
from deploy.local.ports import LOOPBACK

# In production minutes, so that one message has all alerts; here somebody waits for the first.
GROUP_WAIT_SECONDS = 10
DASHBOARDS = PROJECT / "deploy" / "grafana" / "dashboards"


def observe() -> None:
    """Start Prometheus and Alertmanager beside a running `make run`, until Ctrl-C; their data is kept.

    The rules, alerts and routes are those of production; what Alertmanager sends is printed here.
    """
    services = demo()["urls"]
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with _receiving() as alerts_url:
        home = Home.from_environment()
        observers = Observers(home, services, alerts_url=alerts_url, group_wait_seconds=GROUP_WAIT_SECONDS)
        try:
            observers.start()
            typer.echo(_welcome(observers))
            while not stop.wait(0.5):
                if ended := observers.ended():
                    raise CommandError(
                        f"{ended} ended by itself", remedy=f"The end of its log: {observers.log(ended)}"
                    )
            typer.echo("Stopped; the data is kept")
        finally:
            observers.stop()


def _welcome(observers: Observers) -> str:
    grafana = (
        f"Grafana is installed: import {DASHBOARDS}/*.json, with {observers.prometheus_url} as data source."
        if shutil.which("grafana-server")
        else f"Grafana is not installed here and not in Debian; the dashboards for yours: {DASHBOARDS}/*.json"
    )
    return f"""
Prometheus    {observers.prometheus_url}          the rules: {observers.prometheus_url}/alerts
Alertmanager  {observers.alertmanager_url}
{grafana}

Alerts are printed here as they come; each names its page in docs/runbooks. Ctrl-C stops both.
"""


def lines_of(message: Any) -> list[str]:
    """One line for each alert of a message of Alertmanager; none for anything else."""
    try:
        return [
            f"{time.strftime('%H:%M:%S')} {alert['status']:<8} {alert['labels']['severity']:<6}"
            f" {alert['labels']['alertname']}: {alert['annotations']['summary']}"
            f"  docs/runbooks/{alert['labels']['alertname']}.md"
            for alert in message["alerts"]
        ]
    except (KeyError, TypeError):
        return []


@contextmanager
def _receiving() -> Iterator[str]:
    """Take Alertmanager's webhooks on a port of the kernel's choice; the address."""
    server = ThreadingHTTPServer((LOOPBACK, 0), _Alerts)
    with serving(server):
        yield f"http://{LOOPBACK}:{server.server_address[1]}"


class _Alerts(Receiver):
    """Prints the alerts of each message."""

    def take(self, body: bytes) -> int:
        try:
            message = json.loads(body)
        except ValueError:
            return 400
        for line in lines_of(message):
            typer.echo(line)
        return 200
