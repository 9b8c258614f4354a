"""What answers, customers and erasures do to cases: all events of a batch in one transaction."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from services.notifier.cases import deciding, recording
from services.notifier.cases.deciding import Circumstances, Incoming, Judge, searchable_text
from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import groups_beyond_low
from services.notifier.cases.erasing import (
    LEDGER,
    CaseEraser,
    customer_of,
    without_changes_of_the_erased,
    without_the_erased,
)
from services.notifier.cases.recording import CaseRecorder, ChangeRecord
from services.notifier.cases.store import answers, cases, customers
from services.notifier.cases.store.answers import AnswerKey, KnownBefore, StoredAnswer
from services.notifier.cases.store.customers import Customer, Ref
from services.notifier.watch.handlers import count_arrivals
from shared.db import Session
from shared.db.erasures import erased_until, erasure_outcomes
from shared.events import Received
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.topics import CUSTOMERS
from shared.feedback.identity import is_erased
from shared.kafka import OutcomeCounts
from shared.ops import metrics

WATCHED_DAYS: Final = 90
"""An answer that a customer gives so long after a case is noted on the case."""


class CaseHandlers:
    """Applies events to cases by what each store has decided."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        config_version: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policies = policies
        self._better_groups = {store: groups_beyond_low(policy.rules) for store, policy in policies.items()}
        self._judge = Judge(policies, config_version)
        self._recorder = CaseRecorder(policies)
        self._eraser = CaseEraser(policies, self._recorder)
        self._now = now
        self._wrote = False

    def committed(self, ring: Callable[[], None]) -> None:
        """Ring if a case changed since the last call: then there are events, and perhaps alerts, to send."""
        wrote, self._wrote = self._wrote, False
        if wrote:
            ring()

    async def apply(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        """All events of a batch, so that the customers of all of them are locked once and in order."""
        outcomes: Counter[tuple[str, str]] = Counter()
        batch = await self._after_erasures(session, batch, outcomes)
        known = await self._known_before(session, batch)
        kept = await without_the_erased(session, batch, known.erased, outcomes)
        if len(kept) < len(batch):  # the answers that were just erased are stored in another form now
            batch, known = kept, await self._known_before(session, kept)
        standings = [_standing(r.event) for r in batch if isinstance(r.event, CustomerChanged)]
        about_answers = [r for r in batch if not isinstance(r.event, CustomerChanged)]
        incoming = deciding.relevant(about_answers, self._policies, outcomes)
        if any(is_erased(answer.customer_ref) for answer in known.answers.values()):
            about_answers = without_changes_of_the_erased(about_answers, known.answers)
            incoming = deciding.relevant(about_answers, self._policies, Counter())
        touched = deciding.customers_to_lock(incoming, known.answers, self._better_groups)
        touched |= deciding.answering_customers(incoming) & known.with_cases
        locked = await customers.lock(session, [*(s.ref for s in standings), *touched])
        changed = await customers.learn(session, standings)
        outcomes[CUSTOMERS.name, "ok"] += len(changed)
        outcomes[CUSTOMERS.name, "duplicate"] += len(standings) - len(changed)
        fresh = deciding.not_applied_yet(incoming, known.answers, outcomes)
        if fresh:
            await self._change_answers(session, fresh, known.answers, locked | changed, outcomes)
        await count_arrivals(session, batch, self._policies)
        return outcomes

    async def _known_before(self, session: Session, batch: Sequence[Received]) -> KnownBefore:
        refs = {ref for received in batch if (ref := customer_of(received.event))}
        keys = deciding.relevant(batch, self._policies, Counter())
        return await answers.known_before(session, refs, keys, days=WATCHED_DAYS)

    async def _after_erasures(
        self, session: Session, batch: Sequence[Received], outcomes: Counter[tuple[str, str]]
    ) -> Sequence[Received]:
        """Erasures first, so that they take their lock before any row is locked; then what is left to do."""
        erasures = [r for r in batch if isinstance(r.event, CustomerErased)]
        if not erasures:
            await LEDGER.share(session)
            return batch
        await LEDGER.hold(session)
        erased = erased_until(r.event for r in erasures)
        first_time = await self._eraser.erase(session, erased, now=self._now())
        outcomes.update(erasure_outcomes(erasures, first_time))
        self._wrote = True
        return [r for r in batch if not isinstance(r.event, CustomerErased)]

    async def _change_answers(
        self,
        session: Session,
        incoming: Incoming,
        stored: Mapping[AnswerKey, StoredAnswer],
        locked: Mapping[Ref, Customer],
        outcomes: Counter[tuple[str, str]],
    ) -> None:
        """Add the events to their answers, and change the cases of these.

        `stored`: answers that had a row before, so only these can have a case.
        """
        events = {
            key: {event_id: received.event for event_id, received in of_answer.items()}
            for key, of_answer in incoming.items()
        }
        added = await answers.add_events(session, events)
        complete = {key: answer for key, answer in added.answers.items() if answer}
        deciding.count_ineffective(incoming, complete, outcomes)
        metrics.AMENDMENTS_REFUSED.inc(added.newly_refused)
        links = await cases.links(session, stored.keys() & complete.keys())
        judged = {
            key: answer
            for key, answer in complete.items()
            if key in links or (not answer.retracted and (key[0], answer.body.person.ref) in locked)
        }
        if not judged:
            return
        refs = {(key[0], answer.body.person.ref) for key, answer in judged.items()}
        locked_cases = await cases.lock(session, refs, [links[key].case_id for key in judged if key in links])
        past = await answers.past_answers(session, refs)
        now = self._now()
        records, new = self._judge.decide(
            judged, Circumstances(incoming, links, locked_cases, locked, past, added.replaced), now
        )
        if records:
            self._wrote = True
            records = await recording.with_owners(session, records, self._policies)
            await self._recorder.write(session, records, now=now, new=new, words=_words(records, judged))


def _standing(event: CustomerChanged) -> customers.Standing:
    return customers.Standing(
        (event.store, event.customer_ref),
        event.seq,
        event.tier,
        event.tags,
        event.risk,
        event.action,
        event.reasons,
    )


def _words(records: Iterable[ChangeRecord], judged: Mapping[AnswerKey, Answer]) -> dict[str, str]:
    """By case, the text of the answers that changed it."""
    words: dict[str, str] = {}
    for record in records:
        case = record.change.case
        text = searchable_text(judged[case.store, record.response_id])
        words[case.case_id] = f"{words.get(case.case_id, '')} {text}".strip()
    return words
