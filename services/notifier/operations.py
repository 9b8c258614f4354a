"""What operators ask of the notifier through `closeloop`: the only door of this service for `cli/`.

Dry runs of rules, the check of the section `alerts`, holding alerts back, and the handlers for a replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifier.cases.deciding import rule_inputs
from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import Rule, strictest
from services.notifier.cases.store import answers, customers
from services.notifier.channels.outlets import template_mistakes
from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Hold, Waiting, Why
from services.notifier.settings import Alerts, alerts_of, mistakes_across
from shared.config import Config, ConfigError
from shared.config.loading import Mistake
from shared.config.secrets import Secrets
from shared.db import Session
from shared.events import Event
from shared.kafka import Handler

_AT_ONCE = 500
_PAST = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """`opens`: it would have opened or reopened a case, not joined one that these rules opened before."""

    answer: Answer
    rule: Rule | None
    opens: bool


async def judged_answers(
    session: Session, store: str, policy: Policy, since: datetime
) -> AsyncIterator[Judged]:
    """The store's answers since then, in the order in which they came.

    A customer's case is taken to be open from the answer that opened it until its resolution was due, since
    nobody worked these cases.
    """
    open_until: dict[str, datetime] = {}
    async for batch in answers.since(session, store, since, at_once=_AT_ONCE):
        refs = {(store, ref) for ref, _ in batch}
        known_customers = await customers.known(session, refs)
        before = await answers.past_answers(session, refs, most=_PAST)
        for ref, answer in batch:
            key = (store, ref)
            customer = known_customers.get(key, customers.Customer())
            rule = None
            if not answer.retracted:
                rule = strictest(policy.rules, rule_inputs(answer, customer, before.get(key, ())))
            at = answer.body.received_at
            opens = rule is not None and at >= open_until.get(ref, at)
            if rule is not None and opens:
                open_until[ref] = policy.clock(rule.clock).due(at, timedelta(hours=rule.resolve_hours))
            yield Judged(answer, rule, opens)


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """What one rule would have done; `share` is its part of all answers, 0 to 1."""

    rule: str
    answers: int
    share: float
    cases: int
    priority: str
    first_contact_hours: float
    resolve_hours: float
    clock: str
    team: str | None
    channels: list[str]


class DryRun:
    """The rules of one store's section, tried on the answers that are stored. Changes nothing."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._rules = {rule.name: rule for rule in alerts.policy.rules}
        self._answers: Counter[str] = Counter()
        self._cases: Counter[str] = Counter()
        self.without_rule = 0

    async def run(self, session: Session, store: str, since: datetime) -> None:
        """Judge the answers since then, and add up what the rules would have done."""
        judged_since: AsyncIterator[Judged] = judged_answers(session, store, self._alerts.policy, since)
        async for judged in judged_since:
            if judged.rule is None:
                self.without_rule += 1
                continue
            self._rules.setdefault(judged.rule.name, judged.rule)
            self._answers[judged.rule.name] += 1
            self._cases[judged.rule.name] += judged.opens

    @property
    def answers(self) -> int:
        return self.without_rule + self._answers.total()

    @property
    def cases(self) -> int:
        return self._cases.total()

    def rules(self) -> list[RuleTrial]:
        """One for each rule in its order, also for those that matched no answer."""
        return [
            RuleTrial(
                rule=rule.name,
                answers=self._answers[rule.name],
                share=round(self._answers[rule.name] / self.answers, 4) if self.answers else 0.0,
                cases=self._cases[rule.name],
                priority=rule.priority.value,
                first_contact_hours=rule.first_contact_hours,
                resolve_hours=rule.resolve_hours,
                clock=rule.clock.value,
                team=rule.team,
                channels=list(self._alerts.targets if rule.channels is None else rule.channels),
            )
            for rule in self._rules.values()
        ]


def dry_runs(config: Config) -> dict[str, DryRun]:
    """One for each store. Raises ConfigError with every mistake of their sections."""
    return {store: DryRun(alerts) for store, alerts in alerts_of(config).items()}


def section_mistakes(config: Config, store: str) -> list[Mistake]:
    """What the notifier would refuse at its start in the section `alerts` of this store."""
    try:
        alerts = config.section(store, "alerts", Alerts)
    except ConfigError as error:
        return list(error.mistakes)
    return [*mistakes_across(config, store, alerts), *template_mistakes(config, store, alerts.channels)]


def section_summary(config: Config, store: str) -> dict[str, list[str]]:
    """What the section declares, by names, for people. The section has no mistakes."""
    alerts = config.section(store, "alerts", Alerts)
    return {
        "alert rules": [rule.name for rule in alerts.rules],
        "teams": list(alerts.teams),
        "escalation": [step.name for step in alerts.escalation],
        "channels": [name if channel.on else f"{name} (off)" for name, channel in alerts.channels.items()],
    }


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why alerts are held back and since when (nothing: they are sent), and what waits on each channel."""

    holds: list[Hold]
    waiting: list[Waiting]


async def hold(session: Session) -> str:
    """Send nothing from the next round on, as an operator wishes; returns the name of that reason."""
    await holds.hold(session, Why.OPERATOR)
    return Why.OPERATOR.value


async def held_back(session: Session) -> HeldBack:
    """Why alerts are held back now, and what waits."""
    return HeldBack(await holds.holds(session), await holds.waiting(session))


async def release(session: Session, sent_before: datetime | None) -> tuple[int, int]:
    """Send again, but nothing about answers that arrived before that moment: (called off, left to send)."""
    called_off = await holds.call_off(session, sent_before) if sent_before else 0
    await holds.release(session)
    return called_off, sum(channel.deliveries for channel in await holds.waiting(session))


def replay_handlers(config: Config, secrets: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them. Raises ConfigError."""
    from services.notifier.app import build_handlers  # noqa: PLC0415 - no other command needs the whole app

    return build_handlers(config, secrets)
