"""How urgent a case is, how fast somebody must call, and who is told. The first rule that matches wins.

When a case is opened again: `reactions.may_reopen`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.clocks import ClockKind
from shared.feedback.metrics import Group

LOW_ANSWERS: Final = frozenset({Group.DETRACTOR})


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What is known when a rule is asked. A value that is not known matches nothing."""

    metric: str
    score: int
    tier: str | None = None
    touchpoint: str | None = None
    channel: str | None = None
    order_value: Decimal | None = None
    group: Group = Group.DETRACTOR
    fell_by: int | None = None
    """By how much the answer is worse than the customer's last one on the same scale."""
    tags: frozenset[str] = frozenset()
    risk: str | None = None
    themes: frozenset[str] = frozenset()
    comments: tuple[str, ...] = ()
    """What the comment says, and what it said before."""
    wants_contact: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that are set must hold; an empty set of names sets nothing, but for the groups."""

    metric: str | None = None
    min_score: int | None = None
    max_score: int | None = None
    tiers: frozenset[str] = frozenset()
    touchpoints: frozenset[str] = frozenset()
    answer_channels: frozenset[str] = frozenset()
    order_value_at_least: Decimal | None = None
    groups: frozenset[Group] = LOW_ANSWERS
    fell_by: int | None = None
    tags: frozenset[str] = frozenset()
    risk: frozenset[str] = frozenset()
    themes: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    wants_contact: bool | None = None

    def hold(self, answer: RuleInput) -> bool:
        return (
            answer.group in self.groups
            and (self.metric is None or answer.metric == self.metric)
            and _within(self.min_score, answer.score, self.max_score)
            and _one_of(self.tiers, answer.tier)
            and _one_of(self.touchpoints, answer.touchpoint)
            and _one_of(self.answer_channels, answer.channel)
            and _one_of(self.risk, answer.risk)
            and (not self.tags or bool(self.tags & answer.tags))
            and (not self.themes or bool(self.themes & answer.themes))
            and _reaches(self.order_value_at_least, answer.order_value)
            and _reaches(self.fell_by, answer.fell_by)
            and (self.wants_contact is None or answer.wants_contact == self.wants_contact)
            and (not self.words or _speaks_of(self.words, answer.comments))
        )


def _within(least: int | None, score: int, most: int | None) -> bool:
    return (least is None or score >= least) and (most is None or score <= most)


def _one_of(names: frozenset[str], value: str | None) -> bool:
    return not names or value in names


def _reaches(least: Decimal | int | None, value: Decimal | int | None) -> bool:
    return least is None or (value is not None and value >= least)


def _speaks_of(words: frozenset[str], comments: Iterable[str]) -> bool:
    pattern = _whole_words(words)
    return any(pattern.search(comment.casefold()) for comment in comments)


@lru_cache(maxsize=256)
def _whole_words(words: frozenset[str]) -> re.Pattern[str]:
    """Any of them with nothing of a word beside it; between words of a phrase there may be any space."""
    phrases = (r"\s+".join(map(re.escape, word.casefold().split())) for word in sorted(words))
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)")


@dataclass(frozen=True, slots=True)
class Rule:
    """`channels` of None: every channel of the store."""

    name: str
    when: Conditions
    priority: Priority
    first_contact_hours: float
    resolve_hours: float
    channels: tuple[str, ...] | None = None
    clock: ClockKind = ClockKind.ELAPSED
    team: str | None = None


DEFAULT_RULE: Final = Rule("default", Conditions(), Priority.NORMAL, first_contact_hours=24, resolve_hours=72)
"""Stands after the store's own rules, so that nobody unhappy is forgotten. It takes low answers only."""


def first_match(rules: Iterable[Rule], answer: RuleInput) -> Rule | None:
    """The first rule whose conditions hold, the default rule the last of them; None for a good answer
    that nobody asked for."""
    return next((rule for rule in (*rules, DEFAULT_RULE) if rule.when.hold(answer)), None)


def strictest(rules: Sequence[Rule], possible: Iterable[RuleInput]) -> Rule | None:
    """The most urgent of the rules that take the answer, for each of its scores in `possible`.

    Of equally urgent ones it is the rule that stands first, and all the channels of all of them are
    told, so that the order in which the scores became known does not matter. None when none matches.
    """
    order = {rule.name: place for place, rule in enumerate((*rules, DEFAULT_RULE))}
    matches = {rule for answer in possible if (rule := first_match(rules, answer)) is not None}
    ranked = sorted(matches, key=lambda rule: order[rule.name])
    if len(ranked) <= 1:
        return ranked[0] if ranked else None
    channels = None
    if all(rule.channels is not None for rule in ranked):
        channels = tuple(dict.fromkeys(name for rule in ranked for name in rule.channels or ()))
    return replace(min(ranked, key=lambda rule: rule.priority.rank), channels=channels)


def groups_beyond_low(rules: Iterable[Rule]) -> frozenset[Group]:
    """The better answers for which any rule may open a case."""
    return frozenset(group for rule in rules for group in rule.when.groups) - LOW_ANSWERS


# Teams, and whose turn it is.


class AssignMode(StrEnum):
    """How a case finds its owner when it opens."""

    NONE = "none"
    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"


@dataclass(frozen=True, slots=True)
class Team:
    name: str
    members: tuple[str, ...] = ()
    lead: str | None = None
    assign: AssignMode = AssignMode.NONE


def next_owner(team: Team, how: AssignMode, turn: int, load: Mapping[str, int]) -> str | None:
    """The member whose turn it is; `turn` counts the turns that were taken before.

    Round robin: each in the order of the list. Least loaded: who has the fewest cases in work, and of
    those who have equally few the one whose turn comes first. None in a team without members.
    """
    if not team.members:
        return None
    place = turn % len(team.members)
    in_turn = team.members[place:] + team.members[:place]
    if how is AssignMode.LEAST_LOADED:
        return min(in_turn, key=lambda member: load.get(member, 0))
    return in_turn[0]
