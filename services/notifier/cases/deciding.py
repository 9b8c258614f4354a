"""What the answers of a batch do to cases. Nothing is read here: the caller brings all that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.notifier.cases.domain.answers import Answer, PastAnswer, fall, latest_group, opens
from services.notifier.cases.domain.case import Case, Change, Status, id_of
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.reactions import (
    another_answer,
    another_low_answer,
    known_answer_changed,
    may_reopen,
    new_case,
    retracted,
)
from services.notifier.cases.domain.rules import Rule, RuleInput, strictest
from services.notifier.cases.recording import ChangeRecord
from services.notifier.cases.store import answers
from services.notifier.cases.store.answers import AnswerKey, StoredAnswer
from services.notifier.cases.store.cases import Link
from services.notifier.cases.store.customers import Customer, Ref
from shared.events import Event, Received
from shared.events.responses import Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import RESPONSES
from shared.feedback import Group, group_of, low, revisions
from shared.feedback.metrics import scale_for

# Which events of a batch matter, which of them were not applied before, and whose cases they may touch.

Incoming = Mapping[AnswerKey, Mapping[str, Received]]
"""Events that came in, by their answer and then by their own ids."""


def relevant(
    batch: Iterable[Received], stores: Container[str], outcomes: Counter[tuple[str, str]]
) -> dict[AnswerKey, dict[str, Received]]:
    """The events about answers, without originals that can never open a case; those are not even stored."""
    incoming: dict[AnswerKey, dict[str, Received]] = {}
    for received in batch:
        event = received.event
        if event.store not in stores or (isinstance(event, ResponseSubmitted) and not _may_open(event)):
            outcomes[received.topic, "skipped"] += 1
        elif isinstance(event, ResponseSubmitted | ResponseAmended | ResponseRetracted):
            of_answer = incoming.setdefault((event.store, event.response_id), {})
            outcomes[received.topic, "duplicate"] += received.envelope.id in of_answer
            of_answer[received.envelope.id] = received
    return incoming


def not_applied_yet(
    incoming: Incoming,
    stored: Mapping[AnswerKey, StoredAnswer],
    outcomes: Counter[tuple[str, str]],
) -> dict[AnswerKey, dict[str, Received]]:
    """The events that no stored answer has yet."""
    fresh: dict[AnswerKey, dict[str, Received]] = {}
    for key, events in incoming.items():
        applied = stored[key].events if key in stored else frozenset[str]()
        missing = {event_id: received for event_id, received in events.items() if event_id not in applied}
        outcomes[RESPONSES.name, "duplicate"] += len(events) - len(missing)
        outcomes[RESPONSES.name, "ok"] += len(missing)
        if missing:
            fresh[key] = missing
    return fresh


def count_ineffective(
    incoming: Incoming, answers: Mapping[AnswerKey, Answer], outcomes: Counter[tuple[str, str]]
) -> None:
    """Count the events that change nothing by the rule of `shared.feedback.revisions`: bodies that lost to
    another as `conflict`, impossible scores as `refused`. `answers`: as they are with the events."""
    for key, events in incoming.items():
        if (answer := answers.get(key)) is None:
            continue
        body = answer.body
        refused = {
            event_id: len(revisions.refused(body, received.event.revisions(event_id)))
            for event_id, received in events.items()
            if isinstance(received.event, ResponseAmended)
        }
        conflicts = sum(
            isinstance(received.event, ResponseSubmitted) and received.event.fingerprint != body.fingerprint
            for received in events.values()
        )
        outcomes[RESPONSES.name, "refused"] += (turned_down := sum(map(bool, refused.values())))
        outcomes[RESPONSES.name, "conflict"] += conflicts
        outcomes[RESPONSES.name, "ok"] -= turned_down + conflicts


def customers_to_lock(
    incoming: Incoming,
    stored: Mapping[AnswerKey, StoredAnswer],
    better_groups: Mapping[str, Container[Group]],
) -> set[Ref]:
    """The customers whose cases these events may touch: those of low answers and of amended ones.

    `better_groups`: by store, the groups beyond the low ones whose answers a rule may take.
    """
    customers: set[Ref] = set()
    for key, events in incoming.items():
        originals = [r.event for r in events.values() if isinstance(r.event, ResponseSubmitted)]
        only_original = key not in stored and len(events) == 1
        for event in originals:
            group = group_of(event.metric, event.scale, event.score)
            may_matter = group is Group.DETRACTOR or group in better_groups[key[0]]
            if event.respondent and (may_matter or not only_original):
                customers.add((key[0], event.respondent))
        if key in stored and (ref := stored[key].customer_ref):
            customers.add((key[0], ref))
    return customers


def answering_customers(incoming: Incoming) -> set[Ref]:
    """Everybody whose original answer is among the events."""
    return {
        (key[0], received.event.respondent)
        for key, events in incoming.items()
        for received in events.values()
        if isinstance(received.event, ResponseSubmitted) and received.event.respondent
    }


def _may_open(event: ResponseSubmitted) -> bool:
    """Whether a case may come of the answer.

    Raises FeedbackError for an unknown metric, scale or score: such an event is poison.
    """
    low(event.metric, event.scale, event.score)
    return opens(
        test=event.test,
        historical=event.historical,
        identified=event.identity is Identity.IDENTIFIED and event.customer is not None,
        answered_at=event.answered_at,
        received_at=event.received_at,
    )


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known beside the answers that are judged."""

    incoming: Incoming
    """The events that changed them just now."""
    links: Mapping[AnswerKey, Link]
    """The cases that they belong to already."""
    cases: Iterable[Case]
    """All cases of these customers, locked."""
    customers: Mapping[Ref, Customer]
    past: Mapping[Ref, Sequence[PastAnswer]]
    replaced: Container[AnswerKey] = ()
    """Answers whose body has lost to an older one that came in just now."""


class Judge:
    """Decides by each store's policy what an answer does to the cases of its customer."""

    def __init__(self, policies: Mapping[str, Policy], config_version: str) -> None:
        self._policies = policies
        self._config_version = config_version

    def decide(
        self, judged: Mapping[AnswerKey, Answer], circumstances: Circumstances, now: datetime
    ) -> tuple[list[ChangeRecord], set[str]]:
        """Answer by answer, in the order in which they reached us; a later one sees what an earlier one did.

        Returns the changes, and the ids of the cases that are new.
        """
        by_id = {case.case_id: case for case in circumstances.cases}
        stored = set(by_id)
        records: list[ChangeRecord] = []
        for key, answer in sorted(judged.items(), key=lambda item: (item[1].body.received_at, item[0])):
            events = circumstances.incoming[key]
            traceparent = events[max(events)].envelope.traceparent
            link = circumstances.links.get(key)
            left = by_id[link.case_id] if link else None
            if left and not _has_left(key, answer, left, circumstances):
                left = None
            withdrawn = retracted(answer, left, now) if left else None
            if withdrawn:
                by_id[withdrawn.case.case_id] = withdrawn.case
            change = self._change(
                key, answer, None if left else link, circumstances, by_id, had_case=left is not None, now=now
            )
            moves = left is not None and change is not None and change.part is not None
            if withdrawn:
                records.append(
                    ChangeRecord(replace(withdrawn, retracts=not moves), answer.response_id, traceparent)
                )
            if change is None:
                continue
            change = replace(change, moves=moves)
            past = circumstances.past.get((key[0], answer.body.person.ref), ())
            case = replace(change.case, last_group=latest_group(past) or change.case.last_group)
            by_id[case.case_id] = case
            records.append(ChangeRecord(replace(change, case=case), answer.response_id, traceparent))
        return records, by_id.keys() - stored

    def _change(
        self,
        key: AnswerKey,
        answer: Answer,
        link: Link | None,
        circumstances: Circumstances,
        by_id: Mapping[str, Case],
        *,
        had_case: bool,
        now: datetime,
    ) -> Change | None:
        """What the answer does to a case; None when it does nothing. `link`: the case that it belongs to;
        `had_case`: it belonged to one that it has left."""
        store, ref = key[0], (key[0], answer.body.person.ref)
        policy, events = self._policies[store], circumstances.incoming[key]
        customer, past = circumstances.customers.get(ref, Customer()), circumstances.past.get(ref, ())
        rule = strictest(policy.rules, rule_inputs(answer, customer, past))
        if link is not None and rule is None and key in circumstances.replaced:
            return retracted(answer, by_id[link.case_id], now)
        if link is not None:
            return self._known_answer(
                answer,
                by_id[link.case_id],
                link,
                rule=rule,
                events=events,
                replaced=key in circumstances.replaced,
                now=now,
            )
        if answer.retracted:
            return None
        case = _latest(by_id.values(), ref)
        if rule is None:
            return _noted(answer, case, events, past)
        if case is not None and (case.live or may_reopen(case, now, policy.reopens_within)):
            own, rules = policy.clock(case.clock), policy.clock(rule.clock)
            return another_low_answer(answer, case, rule, now, clock=own, rules_clock=rules)
        return new_case(
            answer,
            rule,
            case_id=_new_id(answer, store, had_case=had_case),
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
        events: Mapping[str, Received],
        replaced: bool,
        now: datetime,
    ) -> Change | None:
        """What became of an answer that has a case already."""
        weighs = any(_weighs(received.event) for received in events.values())
        said = [answers.revision_of(event_id, received.event) for event_id, received in events.items()]
        return known_answer_changed(
            answer,
            case,
            link.part,
            rule=rule if weighs else None,
            incoming=tuple(revision for revision in said if revision),
            now=now,
            replaced=replaced,
            rules_clock=self._policies[case.store].clock(rule.clock if rule else case.clock),
        )


def _new_id(answer: Answer, store: str, *, had_case: bool) -> str:
    """The id of the case of an answer: the same after a restore, and another one for a second case."""
    again = (answer.body.id,) if had_case else ()
    return id_of(answer.body.received_at, store, answer.response_id, *again)


def _has_left(key: AnswerKey, answer: Answer, case: Case, circumstances: Circumstances) -> bool:
    """Whether the case is that of a body which has lost, now or before: the answer may belong to another."""
    if key in circumstances.replaced and case.customer_ref != answer.body.person.ref:
        return True
    return not answer.retracted and answer.response_id not in case.standing


def _noted(
    answer: Answer, case: Case | None, events: Mapping[str, Received], past: Sequence[PastAnswer]
) -> Change | None:
    """A better answer that no rule takes: noted on the customer's case when it is the newest."""
    tells_score = any(_tells_score(received.event) for received in events.values())
    last = max(past, key=lambda earlier: (earlier.answered_at, earlier.response_id), default=None)
    newest = last is not None and last.response_id == answer.response_id
    return another_answer(answer, case) if case is not None and tells_score and newest else None


def rule_inputs(answer: Answer, customer: Customer, past: Sequence[PastAnswer]) -> list[RuleInput]:
    """What rules are asked about, once for each score by which the answer is judged."""
    body, scale = answer.body, scale_for(answer.body.metric, answer.body.scale)
    return [
        RuleInput(
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


def searchable_text(answer: Answer) -> str:
    """The text by which the case of an answer can be found."""
    person = answer.body.person
    words = (person.name, person.id, person.email, answer.body.order_id, *answer.comments)
    return " ".join(word for word in words if word)


def _tells_score(event: Event) -> bool:
    return isinstance(event, ResponseSubmitted) or getattr(event, "score", None) is not None


def _weighs(event: Event) -> bool:
    """Whether it may change what rules say to the answer."""
    if isinstance(event, ResponseAmended):
        return event.score is not None or event.comment is not None or event.answers is not None
    return isinstance(event, ResponseSubmitted)


def _latest(cases: Iterable[Case], ref: Ref) -> Case | None:
    """The customer's live case, else the one that was closed last; dismissed ones do not count."""
    own = [
        case
        for case in cases
        if (case.store, case.customer_ref) == ref and case.status is not Status.DISMISSED
    ]
    return max(own, key=lambda case: (case.live, case.closed_at or case.opened_at), default=None)
