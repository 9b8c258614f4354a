"""The settings of every service, read from the environment. Each service adds a class with its own prefix."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.config.secrets import Secrets
from shared.ops.addresses import TrustedProxies

_OVERHEAD_BYTES = 32 * 1024
"""What a connection and a request take beside head and body."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")

ROOT_CHARACTERS = 32
"""A secret from which keys are derived is no shorter."""


class PlatformSettings(BaseSettings):
    """Addresses and credentials that are the same for all services."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr = Field(description="PostgreSQL, as postgresql://user:password@host:port/name")
    kafka_bootstrap_servers: str = Field(description="Kafka brokers, host:port, separated by commas")
    kafka_username: str = Field("", description="For SASL SCRAM-SHA-512; empty: no sign-in")
    kafka_password: SecretStr = Field(SecretStr(""), description="Of that user")
    kafka_ca_file: Path | None = Field(
        None, description="Who signs the brokers' certificates, as PEM; without it no TLS"
    )
    closeloop_config: Path = Field(Path("closeloop.yaml"), description="The stores, rules and channels")
    closeloop_secret: SecretStr = Field(
        min_length=ROOT_CHARACTERS,
        description="Root secret; keys to hash and sign with are derived from it",
    )
    closeloop_signing_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions, links and tokens instead of the root, if set",
    )
    notifier_public_url: str = Field(
        "", description="Where people reach the product: http(s)://host[:port], without a path"
    )
    closeloop_urls: dict[str, str] = Field(
        {}, description="Where its areas are when not on one host; each as the public address"
    )
    closeloop_hosts: str = Field(
        "",
        description="Further hosts that requests may name, by commas: names alone, without scheme or port. "
        "Once there is a public address, a request for another host is answered with 421; "
        "/livez, /readyz and /metrics excepted",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged")
    closeloop_proxies: str = Field(
        "0",
        description="Whose X-Forwarded-For is believed: how many proxies of ours stand before us, "
        "or their networks, such as 10.0.0.0/8,fd00::/8; 0: nobody's",
    )
    stop_grace_seconds: float = Field(
        8, gt=0, le=25, description="How long requests and batches may take to finish"
    )
    otel_exporter_otlp_endpoint: str = Field(
        "", description="Where traces are sent over OTLP/HTTP, such as http://otel:4318; empty: no tracing"
    )
    otel_sdk_disabled: bool = Field(False, description="No tracing, whatever the endpoint")
    otel_traces_sampler: str = Field(
        "parentbased_traceidratio",
        pattern="^(parentbased_)?(always_on|always_off|traceidratio)$",
        description="Which traces are recorded; parentbased: as whoever calls us decided, else by the rest",
    )
    otel_traces_sampler_arg: float = Field(
        0.1, ge=0, le=1, description="For traceidratio: the share of the traces that begin here"
    )

    @field_validator("closeloop_signing_secret")
    @classmethod
    def _long_or_absent(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < ROOT_CHARACTERS:
            raise ValueError(f"Value should have at least {ROOT_CHARACTERS} characters")
        return secret

    @field_validator("closeloop_proxies")
    @classmethod
    def _proxies(cls, setting: str) -> str:
        TrustedProxies(setting)
        return setting

    @field_validator("notifier_public_url")
    @classmethod
    def _address_or_none(cls, url: str) -> str:
        return checked_address(url) if url else url

    @field_validator("closeloop_urls")
    @classmethod
    def _addresses_or_none(cls, urls: dict[str, str]) -> dict[str, str]:
        return {area: checked_address(url) if url else url for area, url in urls.items()}

    @field_validator("closeloop_hosts")
    @classmethod
    def _host_names(cls, setting: str) -> str:
        return ",".join(_host_name(entry) for entry in setting.split(",") if entry.strip())

    def hosts(self, listen: "ListenSettings") -> frozenset[str]:
        """The hosts that requests may name; none, for any, while no address is a public one.

        What listens on this machine alone is reached by the names of that too, as by a proxy or a script.
        """
        urls = [url for url in (self.notifier_public_url, *self.closeloop_urls.values()) if url]
        names = {urlsplit(url).hostname or "" for url in urls} - _LOOPBACK
        names |= set(self.closeloop_hosts.split(","))
        names.discard("")
        if names and listen.host in _LOOPBACK:
            names |= _LOOPBACK
        return frozenset(f"[{name}]" if ":" in name else name for name in names)

    @property
    def secrets(self) -> Secrets:
        return Secrets(
            self.closeloop_secret.get_secret_value(), self.closeloop_signing_secret.get_secret_value()
        )


class ListenSettings(BaseSettings):
    """Where a service listens, and its limits. Subclasses set the prefix and the default port."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on")
    pool_size: int = Field(8, ge=1, le=100, description="Connections to PostgreSQL, at most")
    requests_in_flight: int = Field(512, ge=1, description="Requests served at once; more get 503")
    body_limit_bytes: int = Field(256 * 1024, ge=1024, description="Largest request body")
    head_limit_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest head of a request, and largest trailer; more get 431"
    )
    head_limit_fields: int = Field(
        100, ge=10, description="Header fields of a request, at most; more get 431"
    )
    connection_buffer_bytes: int = Field(
        512 * 1024,
        ge=16 * 1024,
        description="All that one connection may have sent and that is not answered yet; more get 413 or 431",
    )
    process_buffer_bytes: int = Field(
        48 * 1024 * 1024,
        ge=1024 * 1024,
        description="The same of all connections together; beyond it those that hold most get 503",
    )
    receive_timeout_seconds: float = Field(10, gt=0, description="How long a client may take to send a body")
    unknown_keys_per_second: float = Field(
        20, ge=0, description="Requests with an unknown key from one network address a second; 0 is no limit"
    )
    write_timeout_seconds: float = Field(
        30, gt=0, description="How long a client may read nothing of its response"
    )

    @model_validator(mode="after")
    def _a_body_fits(self) -> Self:
        needed = self.head_limit_bytes + self.body_limit_bytes + _OVERHEAD_BYTES
        if self.connection_buffer_bytes < needed:
            raise ValueError(f"connection_buffer_bytes must be {needed} or more: a head and a body must fit")
        if self.process_buffer_bytes < self.connection_buffer_bytes:
            raise ValueError("process_buffer_bytes must be connection_buffer_bytes or more")
        return self


def checked_address(url: str) -> str:
    """The address of a site, without the slash at its end.

    Raises ValueError for what is not `http(s)://host[:port]`; a path is refused, as pages live at the root.
    """
    address = url.removesuffix("/")
    try:
        parts = urlsplit(url)
        _host_name(parts.hostname or "")
        fits = parts.scheme in ("http", "https") and parts.port != 0 and "@" not in parts.netloc
        fits = fits and address.lower() == f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{url!r} is no address: write http(s)://host[:port], such as https://feedback.shop.example, "
            "without a path, as the pages live at the root"
        )
    return address


def _host_name(text: str) -> str:
    """A host as `Host` names it, without port and brackets. Raises ValueError for what it can never be."""
    name = text.strip().lower()
    if ":" in name:
        try:
            return str(ip_address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            pass
    elif _HOST_NAME.fullmatch(name):
        return name
    raise ValueError(
        f"{text.strip()!r} is no name of a host: write names alone, such as collector.closeloop.svc, without "
        "scheme, port, path or *, with commas between them; other scripts as browsers send them (xn--...)"
    )


def redacted(*settings: BaseSettings) -> dict[str, str]:
    """The values in force, for the log at boot; secrets print as stars."""
    return {name: str(value) for part in settings for name, value in part}
