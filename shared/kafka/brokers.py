"""Where Kafka is, and how to sign in there."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Brokers:
    """Addresses, and what a listener that asks for it is told: `str()` shows the addresses alone."""

    addresses: str
    """host:port, separated by commas."""
    username: str = ""
    """Empty: no sign-in. Otherwise SASL SCRAM-SHA-512."""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    """Who signs the brokers' certificates, as PEM. None: no TLS."""

    def __str__(self) -> str:
        return self.addresses

    def client_options(self) -> dict[str, Any]:
        """Arguments of every aiokafka client. Raises OSError when the file cannot be used."""
        options: dict[str, Any] = {"bootstrap_servers": self.addresses}
        if self.ca_file is not None:
            options["ssl_context"] = ssl.create_default_context(cafile=str(self.ca_file))
        if self.username:
            options |= {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        protocol = "SSL" if self.ca_file else "PLAINTEXT"
        options["security_protocol"] = f"SASL_{protocol}" if self.username else protocol
        return options


def client_options(bootstrap: str | Brokers) -> dict[str, Any]:
    """As the method; plain addresses are brokers without TLS and sign-in."""
    return (Brokers(bootstrap) if isinstance(bootstrap, str) else bootstrap).client_options()
