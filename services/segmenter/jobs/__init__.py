"""What the clock starts: tiers that time changes, customers that are published; and what operators start."""

from services.segmenter.jobs.clock import TierClock, fold_due
from services.segmenter.jobs.gauges import TierGauges
from services.segmenter.jobs.publishing import CustomerSource
from services.segmenter.jobs.rebuilding import Rebuilt, rebuild, verify

__all__ = ["CustomerSource", "Rebuilt", "TierClock", "TierGauges", "fold_due", "rebuild", "verify"]
