"""What the scorer is told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.ops.settings import ListenSettings


class ScorerSettings(ListenSettings):
    """Variables with the prefix SCORER_."""

    model_config = SettingsConfigDict(env_prefix="SCORER_", frozen=True, extra="ignore")

    port: int = Field(8002, ge=1, le=65535, description="Port to listen on")
    batch_records: int = Field(1000, ge=1, le=5000, description="Answers counted in one transaction, at most")
    publish_interval_seconds: float = Field(5, ge=0, description="Least time between two events of one score")
    latest_scan_limit: int = Field(
        200_000, ge=1, description="Most answers that policy=latest in the past may read"
    )
