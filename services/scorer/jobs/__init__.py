"""What the clock starts: scores are computed again and published, hours that are over are counted."""

from services.scorer.jobs.gauges import ScoreGauges
from services.scorer.jobs.hours import HourCounts
from services.scorer.jobs.scores import PublishedScores, seldom

__all__ = ["HourCounts", "PublishedScores", "ScoreGauges", "seldom"]
