"""What the pages are told by the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PageSettings(BaseSettings):
    """The same for all services that have pages."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    closeloop_urls: dict[str, str] = Field(
        {},
        description="Where the areas are when not on one host, as JSON: "
        '{"inbox": "https://support.shop.example"}',
    )
    closeloop_secure_cookies: bool = Field(
        False, description="Cookies for https alone also when the proxy does not send X-Forwarded-Proto"
    )
    closeloop_proxies: int = Field(
        0, ge=0, le=8, description="How many proxies of ours add to X-Forwarded-For; 0 ignores the header"
    )
