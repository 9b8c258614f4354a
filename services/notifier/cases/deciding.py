"""What a batch of answers does to cases: no queries here, everything known is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.notifier.cases.domain.answers import Answer, Past, fall, latest_group, opens
from services.notifier.cases.domain.case import Case, Change, Status, id_of
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.reactions import (
    another_answer,
    another_low_answer,
    known_answer_changed,
    new_case,
)
from services.notifier.cases.domain.rules import Facts, Rule, strictest
from services.notifier.cases.recording import Written
from services.notifier.cases.store import answers
from services.notifier.cases.store.answers import AnswerKey, KnownAnswer
from services.notifier.cases.store.cases import Link
from services.notifier.cases.store.customers import Customer, Ref
from shared.events import Event, Received
from shared.events.responses import Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import RESPONSES
from shared.feedback import Group, group_of, low
from shared.feedback.metrics import scale_for

# Which events of a batch matter, what of them is news, and whose cases they may touch.

News = Mapping[AnswerKey, Mapping[str, Received]]
"""Events by their ids, by their answer."""


def relevant(
    told: Iterable[Received], stores: Container[str], outcomes: Counter[tuple[str, str]]
) -> dict[AnswerKey, dict[str, Received]]:
    """Events by answer, without originals that can never open a case; those are not even stored."""
    news: dict[AnswerKey, dict[str, Received]] = {}
    for received in told:
        event = received.event
        if event.store not in stores or (isinstance(event, ResponseSubmitted) and not _may_open(event)):
            outcomes[received.topic, "skipped"] += 1
        elif isinstance(event, ResponseSubmitted | ResponseAmended | ResponseRetracted):
            of_answer = news.setdefault((event.store, event.response_id), {})
            outcomes[received.topic, "duplicate"] += received.envelope.id in of_answer
            of_answer[received.envelope.id] = received
    return news


def unseen(
    news: News,
    before: Mapping[AnswerKey, KnownAnswer],
    outcomes: Counter[tuple[str, str]],
) -> dict[AnswerKey, dict[str, Received]]:
    """What of the news is news."""
    fresh: dict[AnswerKey, dict[str, Received]] = {}
    for key, told in news.items():
        seen = before[key].events if key in before else frozenset[str]()
        missing = {i: received for i, received in told.items() if i not in seen}
        outcomes[RESPONSES.name, "duplicate"] += len(told) - len(missing)
        outcomes[RESPONSES.name, "ok"] += len(missing)
        if missing:
            fresh[key] = missing
    return fresh


def people(
    news: News, before: Mapping[AnswerKey, KnownAnswer], beyond: Mapping[str, Container[Group]]
) -> set[Ref]:
    """The customers whose cases these events may touch: those of low answers and of amended ones.

    `beyond`: by store, the better answers that a rule may take.
    """
    people: set[Ref] = set()
    for key, told in news.items():
        bodies = [r.event for r in told.values() if isinstance(r.event, ResponseSubmitted)]
        plain = key not in before and len(told) == 1
        for body in bodies:
            group = group_of(body.metric, body.scale, body.score)
            if body.customer and (not plain or group is Group.DETRACTOR or group in beyond[key[0]]):
                people.add((key[0], body.customer.ref))
        if key in before and (ref := before[key].customer_ref):
            people.add((key[0], ref))
    return people


def customers(news: News) -> set[Ref]:
    """Everybody who answered."""
    return {
        (key[0], received.event.customer.ref)
        for key, told in news.items()
        for received in told.values()
        if isinstance(received.event, ResponseSubmitted) and received.event.customer
    }


def _may_open(event: ResponseSubmitted) -> bool:
    """Raises FeedbackError for a metric, scale or score that there is not: such an event is poison."""
    low(event.metric, event.scale, event.score)
    return opens(
        test=event.test,
        historical=event.historical,
        identified=event.identity is Identity.IDENTIFIED and event.customer is not None,
        answered_at=event.answered_at,
        received_at=event.received_at,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the answers: their news and cases, the cases, and the customers."""

    fresh: News
    links: Mapping[AnswerKey, Link]
    held: Iterable[Case]
    people: Mapping[Ref, Customer]
    past: Mapping[Ref, Sequence[Past]]


class Judge:
    """Decides by each store's policy."""

    def __init__(self, policies: Mapping[str, Policy], config_version: str) -> None:
        self._policies = policies
        self._config_version = config_version

    def decide(
        self, judged: Mapping[AnswerKey, Answer], known: Known, now: datetime
    ) -> tuple[list[Written], set[str]]:
        """Answer by answer, as they reached us; a later one sees what an earlier one did.

        Returns the changes, and the ids of the cases that are new.
        """
        by_id = {case.case_id: case for case in known.held}
        stored = set(by_id)
        written: list[Written] = []
        for key, answer in sorted(judged.items(), key=lambda item: (item[1].body.received_at, item[0])):
            change = self._change(key, answer, known, by_id, now)
            if change is None:
                continue
            past = known.past.get((key[0], answer.body.person.ref), ())
            case = replace(change.case, last_group=latest_group(past) or change.case.last_group)
            by_id[case.case_id] = case
            told = known.fresh[key]
            traceparent = told[max(told)].envelope.traceparent
            written.append(Written(replace(change, case=case), answer.response_id, traceparent))
        return written, by_id.keys() - stored

    def rule(self, store: str, answer: Answer, customer: Customer, past: Sequence[Past]) -> Rule | None:
        """Who takes the answer; None for a good one that no rule asks for."""
        return strictest(self._policies[store].rules, facts(answer, customer, past))

    def _change(
        self,
        key: AnswerKey,
        answer: Answer,
        known: Known,
        by_id: Mapping[str, Case],
        now: datetime,
    ) -> Change | None:
        store, ref = key[0], (key[0], answer.body.person.ref)
        policy, told, link = self._policies[store], known.fresh[key], known.links.get(key)
        customer, past = known.people.get(ref, Customer()), known.past.get(ref, ())
        rule = self.rule(store, answer, customer, past)
        if link is not None:
            return self._known_answer(answer, by_id[link.case_id], link, rule=rule, told=told, now=now)
        if answer.retracted:
            return None
        case = _latest(by_id.values(), ref)
        if rule is None:
            is_news = any(_tells_score(received.event) for received in told.values())
            last = max(past, key=lambda one: (one.answered_at, one.response_id), default=None)
            newest = last is not None and last.response_id == answer.response_id
            return another_answer(answer, case) if case is not None and is_news and newest else None
        if case is not None and (
            case.live
            or (
                case.status is Status.CLOSED
                and case.closed_at
                and now - case.closed_at <= policy.reopens_within
            )
        ):
            own, rules = policy.clock(case.clock), policy.clock(rule.clock)
            return another_low_answer(answer, case, rule, now, clock=own, rules_clock=rules)
        return new_case(
            answer,
            rule,
            case_id=id_of(answer.body.received_at, store, answer.response_id),
            store=store,
            tier=customer.tier,
            config_version=self._config_version,
            now=now,
            clock=policy.clock(rule.clock),
        )

    def _known_answer(
        self,
        answer: Answer,
        case: Case,
        link: Link,
        *,
        rule: Rule | None,
        told: Mapping[str, Received],
        now: datetime,
    ) -> Change | None:
        weighs = any(_weighs(received.event) for received in told.values())
        revisions = [answers.revision_of(i, received.event) for i, received in told.items()]
        return known_answer_changed(
            answer,
            case,
            link.part,
            rule=rule if weighs else None,
            news=tuple(revision for revision in revisions if revision),
            now=now,
            rules_clock=self._policies[case.store].clock(rule.clock if rule else case.clock),
        )


def facts(answer: Answer, customer: Customer, past: Sequence[Past]) -> list[Facts]:
    """What rules may ask, once for each score by which the answer is judged."""
    body, scale = answer.body, scale_for(answer.body.metric, answer.body.scale)
    return [
        Facts(
            metric=body.metric,
            score=score,
            tier=customer.tier,
            touchpoint=body.touchpoint,
            channel=body.channel,
            order_value=body.order_value,
            group=scale.group_of(score),
            fell_by=fall(answer, score, past),
            tags=frozenset(customer.tags),
            risk=customer.risk,
            comments=answer.comments,
            wants_contact=answer.wants_contact,
        )
        for score in answer.matters
    ]


def found_by(answer: Answer) -> str:
    """The text by which the case of an answer can be found."""
    person = answer.body.person
    said = (person.name, person.id, person.email, answer.body.order_id, *answer.comments)
    return " ".join(part for part in said if part)


def _tells_score(event: Event) -> bool:
    return isinstance(event, ResponseSubmitted) or getattr(event, "score", None) is not None


def _weighs(event: Event) -> bool:
    """Whether it may change what rules say to the answer."""
    if isinstance(event, ResponseAmended):
        return event.score is not None or event.comment is not None or event.answers is not None
    return isinstance(event, ResponseSubmitted)


def _latest(held: Iterable[Case], ref: Ref) -> Case | None:
    """The customer's live case, else the one that was closed last; dismissed ones do not count."""
    own = [
        case
        for case in held
        if (case.store, case.customer_ref) == ref and case.status is not Status.DISMISSED
    ]
    return max(own, key=lambda case: (case.live, case.closed_at or case.opened_at), default=None)
