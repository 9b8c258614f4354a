"""A real SMTP server that keeps what it gets, and certificates by an authority of our own."""

import asyncio
import email
import ssl
import subprocess
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


@dataclass
class Mailbox:
    """Use it as `async with Mailbox() as mailbox:`. `data` and `rcpt` are its replies, the last one again."""

    data: list[str] = field(default_factory=lambda: ["250 taken"])
    rcpt: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    tried: int = 0
    secured: int = 0
    port: int = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, **self.given), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, to: str, options: list[str]) -> str:
        if (reply := self.rcpt.get(to, "250 ok")).startswith("250"):
            envelope.rcpt_tos.append(to)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_DATA(self, _: Any, session: Any, envelope: Envelope) -> str:
        reply = self.data[min(self.tried, len(self.data) - 1)]
        self.tried += 1
        self.secured += session.ssl is not None
        content = envelope.content
        assert isinstance(content, bytes)
        if reply.startswith("250"):
            mail = email.message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.envelopes.append(envelope)
        return reply


def only(user: str, password: str) -> Any:
    """An authenticator that knows one account."""

    def authenticate(_: Any, __: Any, ___: Any, ____: str, given: LoginPassword) -> AuthResult:
        right = (given.login, given.password) == (user.encode(), password.encode())
        return AuthResult(success=right, handled=False)

    return authenticate


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """(the authority's certificate, what a server named localhost presents)."""
    ca, key = folder / "ca.pem", folder / "ca.key"
    server, server_key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-batch"]
    marks = ["-addext", "keyUsage=critical,keyCertSign"]
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", key, "-out", ca, *marks],
        [*new, "-subj", "/CN=localhost", "-keyout", server_key, "-out", request],
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-CAcreateserial",
         "-days", "2", "-extfile", extensions, "-out", server],
    ):  # fmt: skip
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server, server_key)
    return ca, context
