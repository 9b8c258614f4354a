"""`closeloop.yaml`: the stores and their rules, checked with the line of each mistake."""

from shared.config.loading import Config, ConfigError, load
from shared.config.stores import Store

__all__ = ["Config", "ConfigError", "Store", "load"]
