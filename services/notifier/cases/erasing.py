"""Erasing customers: their cases stay as numbers, without anything that names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.notifier.cases.domain.case import Case, CaseEvent, Change, Entry, Status
from services.notifier.cases.domain.policy import NO_POLICY, Policy
from services.notifier.cases.recording import CaseRecorder, ChangeRecord
from services.notifier.cases.store import cases, erasing
from services.notifier.cases.store.answers import AnswerKey, StoredAnswer
from services.notifier.cases.store.customers import Ref
from services.notifier.cases.store.erasing import BECAUSE_ERASED, AnswerToErase
from shared.db import Session
from shared.db.erasures import Erasures
from shared.events import Event, Received
from shared.events.customers import CustomerChanged
from shared.events.envelope import new_traceparent
from shared.events.responses import ResponseAmended, ResponseSubmitted
from shared.feedback.identity import is_erased, length_prefixed, surrogate

LEDGER = Erasures("notifier")


class CaseEraser:
    """A store's own words for root causes stay; `recorder` records what happens to cases."""

    def __init__(self, policies: Mapping[str, Policy], recorder: CaseRecorder) -> None:
        self._policies = policies
        self._recorder = recorder

    async def erase(self, session: Session, erased: Mapping[Ref, datetime], *, now: datetime) -> set[Ref]:
        """Erase these customers as they were until then. Their open cases are dismissed.

        The caller holds the lock around erasing. Returns the customers who were not erased before.
        """
        first_time = await LEDGER.enter(session, erased)
        rows = await erasing.known_customers(session, erased)
        answers = await erasing.answers_until(session, erased)
        links = await cases.links(session, [answer.key for answer in answers])
        locked_cases = await cases.lock(session, erased, [link.case_id for link in links.values()])
        opening = {a.key for a in answers if (a.key[0], a.customer_ref or "") in erased}
        theirs = [case for case in locked_cases if _belongs(case, erased, opening)]
        refs = {*rows, *((case.store, case.customer_ref) for case in theirs), *_contributors(answers, erased)}
        surrogates = {ref: surrogate() for ref in sorted(refs)}
        await erasing.rewrite_answers(session, [answer.erased_of(erased, surrogates) for answer in answers])
        await self._erase_from_cases(
            session, theirs, locked_cases, {link.case_id for link in links.values()}, surrogates
        )
        await self._dismiss(session, theirs, surrogates, now)
        await erasing.hand_over_customers(session, surrogates, erased)
        keys = [length_prefixed(*answer.key).encode() for answer in answers]
        await LEDGER.blank_letters(session, erased, keys)
        return first_time

    async def _erase_from_cases(
        self,
        session: Session,
        theirs: Sequence[Case],
        locked_cases: Sequence[Case],
        linked: set[str],
        surrogates: Mapping[Ref, str],
    ) -> None:
        own = {case.case_id for case in theirs}
        for store in sorted({case.store for case in locked_cases}):
            await erasing.erase_from_cases(
                session,
                {c.case_id: surrogates[store, c.customer_ref] for c in theirs if c.store == store},
                self._policies.get(store, NO_POLICY).root_causes,
                others=[c.case_id for c in locked_cases if c.store == store and c.case_id in linked - own],
            )

    async def _dismiss(
        self, session: Session, theirs: Sequence[Case], surrogates: Mapping[Ref, str], now: datetime
    ) -> None:
        records = []
        for case in theirs:
            if case.live:
                ended = replace(
                    case,
                    customer_ref=surrogates[case.store, case.customer_ref],
                    status=Status.DISMISSED,
                    closed_at=now,
                    dismissed_because=BECAUSE_ERASED,
                    version=case.version + 1,
                )
                entry = Entry("dismissed", {"reason": BECAUSE_ERASED})
                change = Change(ended, CaseEvent.CLOSED, (entry,), cancels_alerts=True)
                records.append(ChangeRecord(change, case.response_id, new_traceparent()))
        if records:
            await self._recorder.write(session, records, now=now)


async def without_the_erased(
    session: Session,
    batch: Sequence[Received],
    erased: Mapping[Ref, datetime],
    outcomes: Counter[tuple[str, str]],
) -> Sequence[Received]:
    """The batch without what was received before its customer was erased; that is buried, never stored.

    `erased`: who of the batch's customers was, and until when.
    """
    kept, erased_answers, ends = list[Received](), set[AnswerKey](), dict[Ref, int]()
    for received in batch:
        event, ref = received.event, customer_of(received.event)
        if ref is not None and isinstance(event, CustomerChanged) and event.erased:
            ends[ref] = max(event.seq, ends.get(ref, 0))
        elif ref is None or ref not in erased or not _is_old(event, erased[ref]):
            kept.append(received)
            continue
        elif isinstance(event, ResponseSubmitted):
            erased_answers.add((event.store, event.response_id))
        outcomes[received.topic, "skipped"] += 1
    if len(kept) == len(batch):
        return batch
    await erasing.bury(session, erased_answers)
    await erasing.end_customers(session, ends)
    return [r for r in kept if not _is_ended(r.event, ends)]


def without_changes_of_the_erased(
    batch: Sequence[Received], stored: Mapping[AnswerKey, StoredAnswer]
) -> list[Received]:
    """The batch without amendments of erased answers, and without an erased answer that is sent once more."""
    return [
        received
        for received in batch
        if not (
            isinstance(event := received.event, ResponseAmended | ResponseSubmitted)
            and (stored_answer := stored.get((event.store, event.response_id)))
            and is_erased(stored_answer.customer_ref)
        )
    ]


def _is_old(event: Event, erased_at: datetime) -> bool:
    """`seq` is the segmenter's clock in milliseconds."""
    if isinstance(event, ResponseSubmitted):
        return event.received_at <= erased_at
    assert isinstance(event, CustomerChanged)  # noqa: S101 - customer_of knows these two events only
    return event.seq <= erased_at.timestamp() * 1000


def _is_ended(event: Event, ends: Mapping[Ref, int]) -> bool:
    """Whether a state was told before the end that is in the same batch."""
    return isinstance(event, CustomerChanged) and event.seq < ends.get((event.store, event.customer_ref), 0)


def customer_of(event: Event) -> Ref | None:
    """The customer that the event names."""
    if isinstance(event, ResponseSubmitted):
        return (event.store, event.respondent) if event.respondent else None
    return (event.store, event.customer_ref) if isinstance(event, CustomerChanged) else None


def _belongs(case: Case, erased: Mapping[Ref, datetime], opening: set[AnswerKey]) -> bool:
    """Whether the case is of somebody who is erased, rather than of who came after."""
    at = erased.get((case.store, case.customer_ref))
    return at is not None and (case.opened_at <= at or (case.store, case.response_id) in opening)


def _contributors(answers: Sequence[AnswerToErase], erased: Mapping[Ref, datetime]) -> set[Ref]:
    """Those of the erased who contributed to these answers."""
    contributors = {(answer.key[0], answer.customer_ref or "") for answer in answers}
    contributors |= {
        (answer.key[0], erasing.respondent_in(part["body"]))
        for answer in answers
        for part in answer.revisions.values()
    }
    return contributors & erased.keys()
