"""Who works a store's cases and by which rules, as the `alerts` section of closeloop.yaml says it."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.clocks import ClockKind
from services.notifier.cases.domain.policy import Step as DomainStep
from services.notifier.cases.domain.policy import When as StepWhen
from services.notifier.cases.domain.rules import DEFAULT_RULE, Assign, Conditions
from services.notifier.cases.domain.rules import Rule as DomainRule
from services.notifier.cases.domain.rules import Team as DomainTeam
from shared.config.stores import Name, Strict
from shared.feedback.metrics import Group, Metric

PLACEHOLDERS = ("name", "store", "case", "order", "comment", "owner")
"""What a reply's `{{ … }}` may name."""

_GROUPS = {group.name.lower(): group for group in Group}
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_LOOSE = re.compile(r"\{\{|\}\}|\{%|%\}")


def _group(name: str) -> str:
    if name not in _GROUPS:
        raise ValueError(f"is not one of {', '.join(_GROUPS)}")
    return name


def _word(text: str) -> str:
    if not re.search(r"\w", text):
        raise ValueError("has no letter or digit to look for")
    return text


def _template(text: str) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS]
    if unknown:
        raise ValueError(f"{unknown[0] or 'nothing'} cannot be filled in; use {', '.join(PLACEHOLDERS)}")
    if loose := _LOOSE.search(_PLACEHOLDER.sub("", text)):
        raise ValueError(f"has a {loose[0]} that belongs to no {{{{ name }}}}")
    return text


Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$"
    ),
]
Cause = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]


class When(Strict):
    """Conditions of a rule; all that are given must hold. A fact that is not known matches nothing."""

    metric: Metric | None = Field(None, description="nps, csat, ces or enps")
    groups: tuple[Annotated[str, AfterValidator(_group)], ...] = Field(
        ("detractor",), min_length=1, description="Whose answers: detractor, passive, promoter"
    )
    min_score: int | None = Field(None, description="The score is this or higher")
    max_score: int | None = Field(None, description="The score is this or lower")
    fell_by: int | None = Field(
        None, ge=1, description="Points of the scale worse than the customer's last answer on it"
    )
    tiers: tuple[str, ...] = Field((), description="The customer's loyalty tier is one of these")
    tags: tuple[str, ...] = Field((), description="The customer has one of these tags")
    risk: tuple[str, ...] = Field((), description="The customer's band of churn risk is one of these")
    touchpoints: tuple[Name, ...] = Field((), description="The answer was asked for at one of these")
    answer_channels: tuple[str, ...] = Field((), description="The answer came by one of these")
    themes: tuple[Name, ...] = Field((), description="The comment is about one of these")
    words: tuple[Annotated[str, AfterValidator(_word)], ...] = Field(
        (), description="The comment has one of these whole words or phrases, in any case"
    )
    order_value_at_least: Decimal | None = Field(None, description="In the store's currency")
    wants_contact: bool | None = Field(None, description="The customer asked to be called")

    def for_domain(self) -> Conditions:
        return Conditions(
            metric=self.metric,
            groups=frozenset(_GROUPS[group] for group in self.groups),
            min_score=self.min_score,
            max_score=self.max_score,
            fell_by=self.fell_by,
            tiers=frozenset(self.tiers),
            tags=frozenset(self.tags),
            risk=frozenset(self.risk),
            touchpoints=frozenset(self.touchpoints),
            answer_channels=frozenset(self.answer_channels),
            themes=frozenset(self.themes),
            words=frozenset(self.words),
            order_value_at_least=self.order_value_at_least,
            wants_contact=self.wants_contact,
        )


class Rule(Strict):
    """What happens to an answer that matches."""

    name: Name
    when: When = When()
    priority: Priority = Priority.NORMAL
    first_contact_hours: float = Field(
        DEFAULT_RULE.first_contact_hours, gt=0, le=8760, description="Until somebody must have called"
    )
    resolve_hours: float = Field(
        DEFAULT_RULE.resolve_hours, gt=0, le=8760, description="Until it must be resolved"
    )
    clock: ClockKind = Field(
        ClockKind.ELAPSED, description="elapsed: around the clock; business: the store's business hours"
    )
    team: Name | None = Field(None, description="Who works it")
    channels: tuple[Name, ...] | None = Field(None, description="Who is told; by default every channel")

    def for_domain(self) -> DomainRule:
        return DomainRule(
            self.name,
            self.when.for_domain(),
            self.priority,
            self.first_contact_hours,
            self.resolve_hours,
            self.channels,
            self.clock,
            self.team,
        )


class Team(Strict):
    """People who work cases together."""

    members: tuple[Email, ...] = Field((), description="E-mail addresses, in the order of their turns")
    lead: Email | None = Field(None, description="Gets what is escalated with `assign: lead`")
    assign: Assign = Field(
        Assign.NONE, description="Who gets a new case: none (nobody), round_robin or least_loaded"
    )

    def for_domain(self, name: str) -> DomainTeam:
        return DomainTeam(name, self.members, self.lead, self.assign)


class Step(Strict):
    """An escalation step, taken at most once for a case."""

    name: Name
    when: StepWhen = Field(description="first_contact_overdue, resolve_overdue or age")
    after_hours: float = Field(0, ge=0, le=8760, description="By the case's clock, after that")
    priorities: tuple[Priority, ...] = Field((), description="Of these cases only; by default of all")
    raise_to: Priority | None = Field(None, description="The case gets at least this priority")
    assign: Annotated[str, StringConstraints(pattern="^lead$")] | None = Field(
        None, description="`lead`: the lead of the case's team becomes its owner"
    )
    channels: tuple[Name, ...] | None = Field(None, description="Who is told; by default every channel")

    def for_domain(self) -> DomainStep:
        return DomainStep(
            self.name,
            self.when,
            self.after_hours,
            frozenset(self.priorities),
            self.raise_to,
            to_lead=self.assign == "lead",
            channels=self.channels,
        )


class Reply(Strict):
    """A template of what to write to a customer."""

    name: str = Field(min_length=1, max_length=80)
    text: Annotated[str, AfterValidator(_template)] = Field(
        min_length=1, max_length=4000, description=f"With {{{{ … }}}} of {', '.join(PLACEHOLDERS)}"
    )

    def filled(self, values: dict[str, str]) -> str:
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), self.text)
