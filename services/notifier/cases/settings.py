"""Who works a store's cases, and by which rules: what a store's `alerts` section says about cases."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from services.notifier.cases.domain.case import Priority
from services.notifier.cases.domain.clocks import BusinessHours, ClockKind
from services.notifier.cases.domain.policy import PLACEHOLDER, Policy
from services.notifier.cases.domain.policy import Reply as DomainReply
from services.notifier.cases.domain.policy import Step as DomainStep
from services.notifier.cases.domain.policy import When as StepWhen
from services.notifier.cases.domain.rules import DEFAULT_RULE, AssignMode, Conditions
from services.notifier.cases.domain.rules import Rule as DomainRule
from services.notifier.cases.domain.rules import Team as DomainTeam
from services.notifier.deliveries.settings import Fault, declared, unknown_channels
from shared.config import Config, Store
from shared.config.loading import Mistake
from shared.config.stores import Name, Strict
from shared.feedback.metrics import Group, Metric

PLACEHOLDERS = ("name", "store", "case", "order", "comment", "owner")
"""What a reply's `{{ … }}` may name."""

_GROUPS = {group.name.lower(): group for group in Group}
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
    unknown = [name for name in PLACEHOLDER.findall(text) if name not in PLACEHOLDERS]
    if unknown:
        raise ValueError(f"{unknown[0] or 'nothing'} cannot be filled in; use {', '.join(PLACEHOLDERS)}")
    if loose := _LOOSE.search(PLACEHOLDER.sub("", text)):
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
    assign: AssignMode = Field(
        AssignMode.NONE, description="Who gets a new case: none (nobody), round_robin or least_loaded"
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

    def for_domain(self) -> DomainReply:
        return DomainReply(self.name, self.text)


class CaseSettings(Strict):
    """The parts of the `alerts` section that are about cases, mixed into it.

    A low answer that no rule matches is taken by the built-in rule `default`.
    """

    rules: tuple[Rule, ...] = Field((), description="The first one that matches an answer wins")
    teams: dict[Name, Team] = Field({}, description="Who works the cases, by name")
    escalation: tuple[Step, ...] = Field((), description="What happens to a case that waits too long")
    root_causes: tuple[Cause, ...] = Field((), description="Offered when a case is resolved")
    replies: tuple[Reply, ...] = Field((), description="Templates of what to write to a customer")
    reopen_days: float = Field(
        30, ge=0, description="A low answer this soon after closing opens the same case again"
    )

    def policy_of(self, store: Store | None, channels: Sequence[str]) -> Policy:
        """What is decided about cases, in the words of the domain.

        `channels`: the names of those that are on. Without a store the zone is UTC, and there are no
        business hours.
        """
        opening = store.business_hours if store else None
        zone = store.zone if store else ZoneInfo("UTC")
        return Policy(
            rules=tuple(rule.for_domain() for rule in self.rules),
            steps=tuple(step.for_domain() for step in self.escalation),
            teams={name: team.for_domain(name) for name, team in self.teams.items()},
            channels=tuple(channels),
            reopens_within=timedelta(days=self.reopen_days),
            hours=BusinessHours(zone, opening.week, opening.holidays) if opening else None,
            zone=zone,
            store_name=store.name if store else "",
            root_causes=self.root_causes,
            replies=tuple(reply.for_domain() for reply in self.replies),
            tiers=store.tiers if store else (),
        )

    def case_faults(self, channels: Sequence[str]) -> Iterator[Fault]:
        """Names that are used twice, and names of channels that the section does not declare."""
        yield from _names_used_twice("rules", [rule.name for rule in self.rules], DEFAULT_RULE.name)
        yield from _names_used_twice("escalation", [step.name for step in self.escalation])
        yield from _names_used_twice("replies", [reply.name for reply in self.replies])
        lists: tuple[tuple[str, tuple[Rule | Step, ...]], ...] = (
            ("rules", self.rules),
            ("escalation", self.escalation),
        )
        for part, entries in lists:
            for place, entry in enumerate(entries):
                yield from unknown_channels(entry.channels or (), channels, (part, place, "channels"))

    def team_faults(self) -> Iterator[Fault]:
        """Teams that rules name and the section does not declare, and teams without the members they need."""
        for place, rule in enumerate(self.rules):
            if rule.team is not None and rule.team not in self.teams:
                text = f"{rule.team} is not a team of this store {declared(self.teams)}"
                yield text, ("rules", place, "team")
        for name, team in self.teams.items():
            if team.assign is not AssignMode.NONE and not team.members:
                yield "cannot be done without members", ("teams", name, "assign")


def _names_used_twice(part: str, names: Sequence[str], *taken: str) -> Iterator[Fault]:
    for place, name in enumerate(names):
        if name in taken or name in names[:place]:
            yield f"{name} is taken: each has a name of its own", (part, place, "name")


def case_mistakes(config: Config, store: str, settings: CaseSettings) -> Iterator[Mistake]:
    """Rules that do not fit the store's other sections: tiers that it has not, a clock without its hours."""
    store_config = config.stores[store]
    declared_tiers = store_config.loyalty.get("tiers") or ()
    tiers = [str(tier.get("name")) for tier in declared_tiers if isinstance(tier, dict)]
    for place, rule in enumerate(settings.rules):
        at = ("stores", store, "alerts", "rules", place)
        for index, tier in enumerate(rule.when.tiers):
            if tiers and tier not in tiers:
                text = f"{tier} is not a tier of this store {declared(tiers)}"
                yield config.mistake(text, *at, "when", "tiers", index)
        if rule.clock is ClockKind.BUSINESS and store_config.business_hours is None:
            yield config.mistake("the store has no business_hours", *at, "clock")
