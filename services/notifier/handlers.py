"""What the notifier does with each event, in the transaction of the batch."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from services.notifier import news
from services.notifier.domain import (
    Answer,
    Case,
    Change,
    Fact,
    Facts,
    Rule,
    Status,
    another_low_answer,
    known_answer_changed,
    new_case,
    strictest,
)
from services.notifier.facts import fact_of
from services.notifier.settings import Alerts
from services.notifier.store import answers, cases, customers, deliveries
from services.notifier.store.answers import AnswerKey
from services.notifier.store.customers import Customer, Ref
from shared.db import Outbox, Session
from shared.events import Event, Received, new_id
from shared.events.customers import CustomerChanged
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import CUSTOMERS
from shared.kafka import Handler, Outcomes
from shared.ops import metrics
from shared.ops.logs import log

_log = log("notifier")

SYSTEM = "system"


@dataclass(slots=True)
class _Written:
    """What a batch leaves behind, gathered so that each table is written once."""

    new: dict[str, Case] = field(default_factory=dict)
    changed: dict[str, Case] = field(default_factory=dict)
    changes: list[tuple[Change, str, str]] = field(default_factory=list)
    """Each with its answer's id and the traceparent of the event that caused it."""


class Handlers:
    """The handlers of the notifier with what they decide by: each store's alert rules and channels."""

    def __init__(
        self,
        alerts: Mapping[str, Alerts],
        config_version: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._alerts = alerts
        self._rules = {store: section.domain_rules for store, section in alerts.items()}
        self._channels = {store: tuple(section.targets) for store, section in alerts.items()}
        self._config_version = config_version
        self._now = now
        self._outbox = Outbox("notifier")
        self._wrote = False

    def wrote(self) -> bool:
        """Whether a case changed since the last call: then there are facts, and perhaps alerts, to send."""
        wrote, self._wrote = self._wrote, False
        return wrote

    def table(self) -> dict[type[Event], Handler]:
        return dict.fromkeys(HANDLED, self.apply)

    async def apply(self, session: Session, batch: Sequence[Received]) -> Outcomes:
        """All events of a batch, so that the customers of all of them are locked once and in order."""
        outcomes: Counter[tuple[str, str]] = Counter()
        loyalty = [r.event for r in batch if isinstance(r.event, CustomerChanged)]
        standings = [customers.Standing((e.store, e.customer_ref), e.seq, e.tier, e.tags) for e in loyalty]
        told = [r for r in batch if not isinstance(r.event, CustomerChanged)]
        of_answers = news.relevant(told, self._alerts, outcomes)
        before = await answers.known(session, of_answers) if of_answers else {}
        touched = news.people(of_answers, before)
        people = await customers.lock(session, [*(s.ref for s in standings), *touched])
        learnt = await customers.learn(session, standings)
        outcomes[CUSTOMERS.name, "ok"] += len(learnt)
        outcomes[CUSTOMERS.name, "duplicate"] += len(standings) - len(learnt)
        fresh = news.unseen(of_answers, before, outcomes)
        if fresh:
            await self._answers_changed(session, fresh, before.keys(), people | learnt)
        return outcomes

    async def _answers_changed(
        self,
        session: Session,
        fresh: news.News,
        old: Set[AnswerKey],
        people: Mapping[Ref, Customer],
    ) -> None:
        """`old`: answers that had a row before, so only these can have a case."""
        events = {key: {i: r.event for i, r in told.items()} for key, told in fresh.items()}
        folded = await answers.add(session, events)
        known = {key: answer for key, answer in folded.items() if answer}
        links = await cases.links(session, old & known.keys())
        unhappy = {
            key: answer
            for key, answer in known.items()
            if key in links or (answer.low_scores and not answer.retracted)
        }
        if not unhappy:
            return
        refs = {key: (key[0], answer.body.person.ref) for key, answer in unhappy.items()}
        held = await cases.lock(
            session, refs.values(), [links[key].case_id for key in unhappy if key in links]
        )
        written = self._decide(unhappy, fresh, links, held, people)
        await self._write(session, written)

    def _decide(
        self,
        unhappy: Mapping[AnswerKey, Answer],
        fresh: news.News,
        links: Mapping[AnswerKey, cases.Link],
        held: Iterable[Case],
        known: Mapping[Ref, Customer],
    ) -> _Written:
        """Answer by answer, as they reached us; a later one sees what an earlier one did."""
        by_id = {case.case_id: case for case in held}
        written = _Written()
        now = self._now()
        for key, answer in sorted(unhappy.items(), key=lambda item: (item[1].body.received_at, item[0])):
            ref = (key[0], answer.body.person.ref)
            told = fresh[key]
            link = links.get(key)
            tier = known[ref].tier if ref in known else None
            rule = self._rule(key[0], answer, tier) if answer.low_scores else None
            if link is not None:
                change = self._known_answer(answer, by_id[link.case_id], link, rule=rule, told=told, now=now)
            elif rule is not None:
                change = self._new_answer(
                    key[0], answer, _latest(by_id.values(), ref), rule=rule, tier=tier, now=now
                )
            else:
                change = None
            if change is None:
                continue
            case = change.case
            is_new = case.case_id not in by_id or case.case_id in written.new
            by_id[case.case_id] = case
            (written.new if is_new else written.changed)[case.case_id] = case
            last = told[max(told)]
            written.changes.append((change, answer.response_id, last.envelope.traceparent))
        return written

    def _known_answer(
        self,
        answer: Answer,
        case: Case,
        link: cases.Link,
        *,
        rule: Rule | None,
        told: Mapping[str, Received],
        now: datetime,
    ) -> Change | None:
        scored = any(
            isinstance(r.event, ResponseSubmitted) or getattr(r.event, "score", None) is not None
            for r in told.values()
        )
        revisions = [answers.revision_of(i, r.event) for i, r in told.items()]
        return known_answer_changed(
            answer,
            case,
            link.part,
            rule=rule if scored else None,
            news=tuple(revision for revision in revisions if revision),
            now=now,
        )

    def _new_answer(
        self, store: str, answer: Answer, case: Case | None, *, rule: Rule, tier: str | None, now: datetime
    ) -> Change:
        window = timedelta(days=self._alerts[store].reopen_days)
        if case is not None and (
            case.live or (case.status is Status.CLOSED and case.closed_at and now - case.closed_at <= window)
        ):
            return another_low_answer(answer, case, rule, now)
        return new_case(
            answer,
            rule,
            case_id=new_id(),
            store=store,
            tier=tier,
            config_version=self._config_version,
            now=now,
        )

    def _rule(self, store: str, answer: Answer, tier: str | None) -> Rule:
        body = answer.body
        return strictest(
            self._rules[store],
            [
                Facts(body.metric, score, tier, body.touchpoint, body.channel, body.order_value)
                for score in answer.low_scores
            ],
        )

    async def _write(self, session: Session, written: _Written) -> None:
        """Cases, their answers, history, deliveries and facts: one transaction, so all or none of it."""
        now = self._now()
        self._wrote = self._wrote or bool(written.changes)
        await cases.insert_new(session, list(written.new.values()))
        await cases.save(session, [written.changed[case_id] for case_id in sorted(written.changed)])
        linked, retracted, history, alerts, released, cancelled = [], [], [], [], [], []
        facts: list[tuple[Event, str]] = []
        for change, response_id, traceparent in written.changes:
            case = change.case
            key = (case.store, response_id)
            if change.part is not None:
                linked.append((key, cases.Link(case.case_id, change.part), now))
            if change.retracts:
                retracted.append(key)
            history += [cases.HistoryRow(case.case_id, now, SYSTEM, entry) for entry in change.entries]
            alerts += self._deliveries(change, traceparent)
            if change.releases_alert:
                released.append((case.case_id, response_id))
            if change.cancels_alerts:
                cancelled.append(case.case_id)
            facts.append((fact_of(change, response_id, now), traceparent))
            self._tell(change, response_id, traceparent)
        await cases.add_answers(session, linked)
        await cases.mark_retracted(session, retracted)
        await cases.add_history(session, history)
        await deliveries.add(session, alerts)
        await deliveries.release(session, released)
        await deliveries.cancel(session, cancelled)
        await self._outbox.put_all(session, facts)

    def _deliveries(self, change: Change, traceparent: str) -> list[deliveries.New]:
        alert, case = change.alert, change.case
        if alert is None:
            return []
        wanted = self._channels[case.store]
        if alert.channels is not None:
            wanted = tuple(name for name in wanted if name in alert.channels)
        return [
            deliveries.New(
                delivery_id=new_id(),
                store=case.store,
                case_id=case.case_id,
                reason=alert.reason,
                channel=channel,
                response_id=alert.response_id,
                received_at=alert.received_at,
                not_before=alert.not_before,
                traceparent=traceparent,
            )
            for channel in wanted
        ]

    def _tell(self, change: Change, response_id: str, traceparent: str) -> None:
        case = change.case
        if change.fact in (Fact.OPENED, Fact.REOPENED):
            metrics.CASES_OPENED.labels(case.priority).inc()
        with structlog.contextvars.bound_contextvars(correlation_id=_correlation(traceparent)):
            _log.info(
                f"case.{change.fact}",
                case_id=case.case_id,
                response_id=response_id,
                rule=case.rule,
                store=case.store,
                reason=change.entries[0].what,
            )


def _latest(held: Iterable[Case], ref: Ref) -> Case | None:
    """The customer's live case, else the one that was closed last; dismissed ones do not count."""
    own = [
        case
        for case in held
        if (case.store, case.customer_ref) == ref and case.status is not Status.DISMISSED
    ]
    return max(own, key=lambda case: (case.live, case.closed_at or case.opened_at), default=None)


def _correlation(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


HANDLED: tuple[type[Event], ...] = (ResponseSubmitted, ResponseAmended, ResponseRetracted, CustomerChanged)
"""All go through `Handlers.apply` together, so that locks are taken once, in one order."""
