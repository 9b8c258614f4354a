"""Alerts as e-mail: text and HTML, one thread for each case."""

import html
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from services.notifier.channels.message import Message
from services.notifier.channels.wording import Told, cleaned, told

LONGEST_SUBJECT = 180


def compose(message: Message, sender: str, recipients: Sequence[str], now: datetime) -> EmailMessage:
    """The same Message-ID at every attempt, so that mailboxes drop a repeat.

    Every message refers to its case, so that mailboxes show them as one conversation. It says that a
    machine wrote it, so that no absence is answered.
    """
    said = told(message)
    name, address = parseaddr(sender)
    host = address.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = cleaned(f"[{message.shop.name}] {said.subject}", LONGEST_SUBJECT)
    mail["From"] = Address(display_name=cleaned(name, 80), addr_spec=address)
    mail["To"] = [Address(addr_spec=recipient) for recipient in recipients]
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.id}@{host}>"
    thread = f"<{_identifier(message.thread)}.thread@{host}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(_text(said))
    mail.add_alternative(_html(said), subtype="html")
    return mail


def _identifier(text: str) -> str:
    """Notices name themselves by words with colons, which a Message-ID cannot hold."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)


def _text(said: Told) -> str:
    parts = [said.title, "\n".join(f"{name}: {value}" for name, value in said.facts)]
    if said.text:
        parts.append("\n".join(f"> {line}" for line in said.text.split("\n")) if said.quoted else said.text)
    lines = [f"- {item.text}\n  {item.link}" for item in said.items]
    if said.more:
        lines.append(f"and {said.more} more")
    parts += ["\n".join(lines), f"{said.link_label}: {said.link}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(said: Told) -> str:
    """Plain enough for every reader: no style sheet, no image, nothing fetched."""
    shown = html.escape
    facts = "".join(f"<tr><td>{shown(n)}&nbsp;</td><td>{shown(v)}</td></tr>" for n, v in said.facts)
    items = "".join(f'<li><a href="{shown(i.link)}">{shown(i.text)}</a></li>' for i in said.items)
    items += f"<li>and {said.more} more</li>" if said.more else ""
    text = shown(said.text).replace("\n", "<br>\n")
    wrapped = f"<blockquote>{text}</blockquote>" if said.quoted else f"<p>{text}</p>"
    return (
        f"<!doctype html>\n<html><body>\n<h2>{shown(said.title)}</h2>\n"
        + (f"<table>{facts}</table>\n" if facts else "")
        + (f"{wrapped}\n" if said.text else "")
        + (f"<ul>{items}</ul>\n" if items else "")
        + f'<p><a href="{shown(said.link)}">{shown(said.link_label)}</a></p>\n</body></html>\n'
    )
