"""What an answer is worth to which score. Standard library only; nothing here knows of SQL or Kafka."""

from services.scorer.domain.answer import Answer, Body, Contribution, Outcome, anonymous
from services.scorer.domain.cuts import Cut, Cuts, tier_before
from services.scorer.domain.latest import settle_latest
from services.scorer.domain.ledger import BucketDelta, Ledger

__all__ = [
    "Answer",
    "Body",
    "BucketDelta",
    "Contribution",
    "Cut",
    "Cuts",
    "Ledger",
    "Outcome",
    "anonymous",
    "settle_latest",
    "tier_before",
]
