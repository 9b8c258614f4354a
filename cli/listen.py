"""`closeloop listen`: receive the alerts of a running product, check their signature and print them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import typer
from standardwebhooks import Webhook, WebhookVerificationError

from cli import CommandError
from cli.receiving import Receiver, serving
from deploy.local.home import DEMO_ALERTS_SECRET, Home

LONGEST_LINE = 300
Print = Callable[[str], None]


def listen() -> None:
    """Print each alert as one line until Ctrl-C.

    Listens on the address in CLOSELOOP_ALERTS_URL and checks the Standard Webhooks signature with
    CLOSELOOP_ALERTS_SECRET; by default those of the demo store.
    """
    with receiving(typer.echo) as url:
        typer.echo(f"Listening on {url}; Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            typer.echo("")


@contextmanager
def receiving(print_line: Print) -> Iterator[str]:
    """Receive alerts in a thread of its own for the length of the block; the address listened on.

    CommandError if somebody else has the port.
    """
    url = Home.from_environment().alerts_url()
    secret = os.environ.get("CLOSELOOP_ALERTS_SECRET") or DEMO_ALERTS_SECRET
    place = urlsplit(url)
    address = (place.hostname or "127.0.0.1", place.port or 80)
    try:
        server = _Server(address, place.path or "/", _webhook(secret), print_line)
    except OSError as error:
        raise CommandError(
            f"Alerts cannot be received on {url}: {error.strerror}",
            remedy="Another `closeloop listen` or `make demo` may have the port; it prints the alerts.",
        ) from error
    with serving(server):
        yield url


def line_of(alert: Any) -> str:
    """An alert of the notifier in one line; any other JSON as it is, cut to a line's length.

    Customers wrote part of it: nothing in it moves the cursor or colours the terminal.
    """
    return "".join(c if c.isprintable() else "?" for c in _line_of(alert))


def _line_of(alert: Any) -> str:
    match alert:
        case {
            "type": str(alert_type),
            "data": {"case": {"priority": priority, "rule": rule}, "answer": answer} as data,
        }:
            answer = answer or {}
            score = f"{str(answer.get('metric', '')).upper()} {answer.get('score')}"
            parts = [alert_type, f"{priority} ({rule})", score, _who(data.get("customer") or {})]
            if comment := answer.get("comment"):
                parts.append(json.dumps(comment, ensure_ascii=False))
            parts.append((data.get("links") or {}).get("case", ""))
            return "  ".join(part for part in parts if part)
        case {"type": str(alert_type), "data": {"notice": {"title": str(title)}} as data}:
            return "  ".join((alert_type, title, (data.get("links") or {}).get("notice", "")))
        case _:
            return json.dumps(alert, ensure_ascii=False)[:LONGEST_LINE]


def _who(customer: dict[str, Any]) -> str:
    name = next((customer[key] for key in ("name", "id", "email", "ref") if customer.get(key)), "")
    return ", ".join(part for part in (name, customer.get("tier")) if part)


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, RuntimeError) as error:
        raise CommandError(
            "CLOSELOOP_ALERTS_SECRET is not a signing secret",
            remedy="It is `whsec_` and the base64 of 24 to 64 bytes.",
        ) from error


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], path: str, webhook: Webhook, print_line: Print) -> None:
        self.path = path
        self.webhook = webhook
        self.print_line = print_line
        self.seen: set[str] = set()
        super().__init__(address, _Alerts)


class _Alerts(Receiver):
    """200 for an alert whose signature is right, also for one that came before."""

    server: _Server

    def take(self, body: bytes) -> int:
        if self.path.partition("?")[0] != self.server.path:
            return 404
        try:
            alert = self.server.webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError) as error:
            self.server.print_line(f"refused: an alert whose signature is wrong ({error})")
            return 401
        webhook_id = self.headers.get("webhook-id", "")
        again = " (again)" if webhook_id in self.server.seen else ""
        self.server.seen.add(webhook_id)
        self.server.print_line(f"{time.strftime('%H:%M:%S')} {line_of(alert)}{again}")
        return 200
