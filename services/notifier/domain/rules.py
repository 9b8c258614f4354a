"""How urgent a case is, how fast somebody must call, and who is told. The first rule that matches wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final


class Priority(StrEnum):
    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return _RANKS[self]

    def outranks(self, other: Priority) -> bool:
        return self.rank < other.rank


_RANKS: Final = {priority: rank for rank, priority in enumerate(Priority)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a rule is asked. A fact that is not there matches nothing."""

    metric: str
    score: int
    tier: str | None = None
    touchpoint: str | None = None
    channel: str | None = None
    order_value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that are set must hold; an empty set of names sets nothing."""

    metric: str | None = None
    min_score: int | None = None
    max_score: int | None = None
    tiers: frozenset[str] = frozenset()
    touchpoints: frozenset[str] = frozenset()
    answer_channels: frozenset[str] = frozenset()
    order_value_at_least: Decimal | None = None

    def hold(self, facts: Facts) -> bool:
        return (
            (self.metric is None or facts.metric == self.metric)
            and (self.min_score is None or facts.score >= self.min_score)
            and (self.max_score is None or facts.score <= self.max_score)
            and (not self.tiers or facts.tier in self.tiers)
            and (not self.touchpoints or facts.touchpoint in self.touchpoints)
            and (not self.answer_channels or facts.channel in self.answer_channels)
            and (
                self.order_value_at_least is None
                or (facts.order_value is not None and facts.order_value >= self.order_value_at_least)
            )
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """`channels` of None: every channel of the store."""

    name: str
    when: Conditions
    priority: Priority
    first_contact_hours: float
    resolve_hours: float
    channels: tuple[str, ...] | None = None


DEFAULT_RULE: Final = Rule("default", Conditions(), Priority.NORMAL, first_contact_hours=24, resolve_hours=72)
"""Stands after the store's own rules, so that nobody unhappy is forgotten."""


def first_match(rules: Iterable[Rule], facts: Facts) -> Rule:
    """The first rule whose conditions hold; the default rule if there is none."""
    return next((rule for rule in rules if rule.when.hold(facts)), DEFAULT_RULE)


def strictest(rules: Sequence[Rule], possible: Iterable[Facts]) -> Rule:
    """The most urgent of what the rules say to each of the facts (an answer that was low twice).

    Of equally urgent ones it is the rule that stands first, and all the channels of all of them are
    told, so that the order in which the facts became known does not matter.
    """
    order = {rule.name: place for place, rule in enumerate((*rules, DEFAULT_RULE))}
    found = sorted({first_match(rules, facts) for facts in possible}, key=lambda rule: order[rule.name])
    if len(found) == 1:
        return found[0]
    channels = None
    if all(rule.channels is not None for rule in found):
        channels = tuple(dict.fromkeys(name for rule in found for name in rule.channels or ()))
    return replace(min(found, key=lambda rule: rule.priority.rank), channels=channels)
