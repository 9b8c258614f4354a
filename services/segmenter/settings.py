"""What the segmenter is told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.ops.settings import ListenSettings


class SegmenterSettings(ListenSettings):
    """Variables with the prefix SEGMENTER_."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTER_", frozen=True, extra="ignore")

    port: int = Field(8003, ge=1, le=65535, description="Port to listen on")
    batch_records: int = Field(1000, ge=1, le=5000, description="Facts stored in one transaction, at most")
    publish_interval_seconds: float = Field(
        5, ge=0, description="Least time between two events of one customer"
    )
    clock_batch: int = Field(200, ge=1, le=5000, description="Customers that the clock folds at once")
    clock_sleep_seconds: float = Field(
        4, gt=0, le=8, description="Longest sleep of the tier clock; below the 12 s of its lease"
    )
