"""Loyalty as arithmetic: facts in, standing and tags out. Standard library and the shared kernel only."""

from services.segmenter.domain.facts import Answer, Case, Engagement, Fact, Order, Override, Refund
from services.segmenter.domain.loyalty import fold
from services.segmenter.domain.programme import (
    DEFAULT_ENGAGEMENT,
    DEFAULT_TIERS,
    EngagementKind,
    NpsEffect,
    Programme,
    Tier,
)
from services.segmenter.domain.standing import Reason, Standing, Transition, sentence
from services.segmenter.domain.tags import TAG_RULES, Profile, Tagging, TagRule, tags

__all__ = [
    "DEFAULT_ENGAGEMENT",
    "DEFAULT_TIERS",
    "TAG_RULES",
    "Answer",
    "Case",
    "Engagement",
    "EngagementKind",
    "Fact",
    "NpsEffect",
    "Order",
    "Override",
    "Profile",
    "Programme",
    "Reason",
    "Refund",
    "Standing",
    "TagRule",
    "Tagging",
    "Tier",
    "Transition",
    "fold",
    "sentence",
    "tags",
]
