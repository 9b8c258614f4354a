"""One attempt over SMTP. The server is the operator's own choice and is not guarded as targets are."""

import asyncio
import ssl
import time
from email.message import EmailMessage

import aiosmtplib
from aiosmtplib import SMTPRecipientRefused, SMTPResponseException

from services.notifier.channels.attempt import Attempt, printable
from services.notifier.deliveries.settings import MailSecurity, SendingSettings


class MailSender:
    """A connection for each attempt, so that a server that hangs holds up nothing but its own channel."""

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
    """Some got it. Those to be tried again later are; the others then get it twice, under one Message-ID."""
    worth = _mildest(refused)
    seconds, reply = time.monotonic() - started, printable(worth.message)
    error = f"{len(refused)} of the recipients refused, {worth.code}"
    return Attempt(worth.code if worth.code < 500 else 250, seconds, reply=reply, error=error)


def _mildest(refused: list[SMTPRecipientRefused]) -> SMTPRecipientRefused:
    """The refusal that may pass, if one of them may."""
    return min(refused, key=lambda one: one.code)
