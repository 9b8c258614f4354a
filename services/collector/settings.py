"""The settings of the collector, from its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.ops.settings import ListenSettings

SOURCE = "/collector"
"""The CloudEvents source of everything that the collector emits."""


class CollectorSettings(ListenSettings):
    """Prefix `COLLECTOR_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="COLLECTOR_")

    port: int = Field(8001, ge=1, le=65535, description="Port to listen on")
    rate_limit_per_second: float = Field(
        2000, ge=0, description="Requests of one secret key a second, in each process; 0 is no limit"
    )
    public_rate_limit_per_second: float = Field(
        500,
        ge=0,
        description="Requests of one public key a second, of all clients, in each process; 0 is no limit",
    )
    client_rate_limit_per_second: float = Field(
        20,
        ge=0,
        description="Requests of one public key from one network address (IPv6: one /64) a second, "
        "in each process; a refused one counts as five; 0 is no limit",
    )
    amendments_per_answer_per_minute: float = Field(
        6,
        ge=0,
        description="Amendments with the token of one answer a minute, after ten at once, in each process; "
        "0 is no limit",
    )
