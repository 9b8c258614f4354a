"""Alerts as e-mail: the text and HTML of a message, one thread for each case, and one attempt over SMTP."""

import asyncio
import html
import ssl
import time
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import aiosmtplib
from aiosmtplib import SMTPRecipientRefused, SMTPResponseException

from services.notifier.channels.http import Attempt, printable
from services.notifier.channels.message import Message
from services.notifier.channels.wording import MessageWords, cleaned, words_of
from services.notifier.deliveries.settings import Channel, MailSecurity, SendingSettings, is_mailbox
from shared.feedback.identity import normal_email

LONGEST_SUBJECT = 180


def compose(message: Message, sender: str, recipients: Sequence[str], now: datetime) -> EmailMessage:
    """The e-mail of a message, with the same Message-ID at every attempt, so that mailboxes drop a repeat.

    Every message refers to its case, so that mailboxes show them as one conversation. It says that a
    machine wrote it, so that nobody's mailbox answers that they are away.
    """
    words = words_of(message)
    name, address = parseaddr(sender)
    host = address.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = cleaned(f"[{message.shop.name}] {words.subject}", LONGEST_SUBJECT)
    mail["From"] = Address(display_name=cleaned(name, 80), addr_spec=address)
    mail["To"] = [Address(addr_spec=recipient) for recipient in recipients]
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.id}@{host}>"
    thread = f"<{_identifier(message.thread)}.thread@{host}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(_text(words))
    mail.add_alternative(_html(words), subtype="html")
    return mail


def _identifier(text: str) -> str:
    """Notices name themselves by words with colons, which a Message-ID cannot hold."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)


def _text(words: MessageWords) -> str:
    parts = [words.title, "\n".join(f"{name}: {value}" for name, value in words.facts)]
    if words.text:
        parts.append(
            "\n".join(f"> {line}" for line in words.text.split("\n")) if words.quoted else words.text
        )
    lines = [f"- {item.text}\n  {item.link}" for item in words.items]
    if words.more:
        lines.append(f"and {words.more} more")
    parts += ["\n".join(lines), f"{words.link_label}: {words.link}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(words: MessageWords) -> str:
    """Plain enough for every reader: no style sheet, no image, nothing fetched."""
    shown = html.escape
    facts = "".join(f"<tr><td>{shown(n)}&nbsp;</td><td>{shown(v)}</td></tr>" for n, v in words.facts)
    items = "".join(f'<li><a href="{shown(i.link)}">{shown(i.text)}</a></li>' for i in words.items)
    items += f"<li>and {words.more} more</li>" if words.more else ""
    text = shown(words.text).replace("\n", "<br>\n")
    wrapped = f"<blockquote>{text}</blockquote>" if words.quoted else f"<p>{text}</p>"
    return (
        f"<!doctype html>\n<html><body>\n<h2>{shown(words.title)}</h2>\n"
        + (f"<table>{facts}</table>\n" if facts else "")
        + (f"{wrapped}\n" if words.text else "")
        + (f"<ul>{items}</ul>\n" if items else "")
        + f'<p><a href="{shown(words.link)}">{shown(words.link_label)}</a></p>\n</body></html>\n'
    )


class MailSender:
    """Sends by the operator's mail server, whose address is not checked as that of a webhook is.

    Each attempt has a connection of its own, so that a server that hangs holds up only its own channel.
    """

    def __init__(self, settings: SendingSettings, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._tls = tls

    async def send(self, mail: EmailMessage, recipients: list[str]) -> Attempt:
        """Never raises for what a server does.

        A 4xx is worth another try, as is anything about the connection or the sign-in, which is the same for
        all mails; a 5xx about this mail is its end.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.send_timeout_seconds):
                return await self._send(mail, recipients, started)
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            return _refused(error, started)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(_mildest(error.recipients), started)
        except SMTPResponseException as error:  # greeting, EHLO, STARTTLS, AUTH
            seconds, reply = time.monotonic() - started, printable(error.message)
            return Attempt(error.code, seconds, reply=reply, error=f"{type(error).__name__} {error.code}")
        except TimeoutError:
            return Attempt(None, time.monotonic() - started, error="timeout")
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Attempt(None, time.monotonic() - started, error=type(error).__name__)

    async def _send(self, mail: EmailMessage, recipients: list[str], started: float) -> Attempt:
        settings = self._settings
        server = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=settings.smtp_password.get_secret_value() or None,
            use_tls=settings.smtp_tls is MailSecurity.TLS,
            start_tls=settings.smtp_tls is MailSecurity.STARTTLS,
            tls_context=None if settings.smtp_tls is MailSecurity.NONE else self._tls,
            timeout=settings.connect_timeout_seconds,
        )
        try:
            await server.connect()
            refused, reply = await server.send_message(
                mail, recipients=recipients, timeout=settings.send_timeout_seconds
            )
        finally:
            server.close()
        if not refused:
            return Attempt(250, time.monotonic() - started, reply=printable(reply))
        return _partly([SMTPRecipientRefused(r.code, r.message, to) for to, r in refused.items()], started)


def _refused(error: SMTPResponseException, started: float) -> Attempt:
    seconds, reply = time.monotonic() - started, printable(error.message)
    return Attempt(error.code, seconds, reply=reply, error=f"refused {error.code}", final=error.code >= 500)


def _partly(refused: list[SMTPRecipientRefused], started: float) -> Attempt:
    """Some recipients got it. When the others may accept it later, all get it again, under one Message-ID."""
    mildest = _mildest(refused)
    seconds, reply = time.monotonic() - started, printable(mildest.message)
    error = f"{len(refused)} of the recipients refused, {mildest.code}"
    return Attempt(mildest.code if mildest.code < 500 else 250, seconds, reply=reply, error=error)


def _mildest(refused: list[SMTPRecipientRefused]) -> SMTPRecipientRefused:
    """The refusal with the lowest code: one that a later attempt may not meet, if there is such a one."""
    return min(refused, key=lambda refusal: refusal.code)


class MailOutlet:
    """A channel of e-mail."""

    def __init__(self, channel: Channel, settings: SendingSettings, tls: ssl.SSLContext) -> None:
        self.most = settings.smtp_connections
        self._to = channel.mailboxes
        self._to_owner = channel.to_owner
        self._from = settings.smtp_from
        self._sender = MailSender(settings, tls)

    async def send(self, message: Message, now: datetime) -> Attempt:
        to = list(self._to)
        owner = message.owner if self._to_owner else None
        if owner and is_mailbox(owner) and normal_email(owner) not in map(normal_email, to):
            to.append(owner)
        if not to:
            return Attempt(None, 0.0, error="nobody to write to: it has no owner with an address", final=True)
        return await self._sender.send(compose(message, self._from, to, now), to)

    async def close(self) -> None:
        """Nothing to do: it keeps no connection open."""
