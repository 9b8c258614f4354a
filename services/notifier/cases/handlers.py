"""What answers, customers and erasures do to cases: all events of a batch in one transaction."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Final

from services.notifier.cases import deciding, recording
from services.notifier.cases.deciding import Judge, Known, found_by
from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.policy import Policy
from services.notifier.cases.domain.rules import groups_beyond_low
from services.notifier.cases.erasing import LEDGER, Forgetting, customer_of, unwritten, without_the_erased
from services.notifier.cases.recording import Ledger, Written
from services.notifier.cases.store import answers, cases, customers
from services.notifier.cases.store import answers as before
from services.notifier.cases.store import answers as past
from services.notifier.cases.store.answers import AnswerKey, Before
from services.notifier.cases.store.customers import Customer, Ref
from services.notifier.watch.handlers import count_arrivals
from shared.db import Session
from shared.db.erasures import outcomes as ended
from shared.db.erasures import until
from shared.events import Received
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.topics import CUSTOMERS
from shared.feedback.identity import is_erased
from shared.kafka import Outcomes

WATCHED_DAYS: Final = 90
"""What a customer answers so long after a case is noted on it."""


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
        self._beyond = {store: groups_beyond_low(policy.rules) for store, policy in policies.items()}
        self._judge = Judge(policies, config_version)
        self._ledger = Ledger(policies)
        self._forgetting = Forgetting(policies, self._ledger)
        self._now = now
        self._wrote = False

    def wrote(self) -> bool:
        """Whether a case changed since the last call: then there are facts, and perhaps alerts, to send."""
        wrote, self._wrote = self._wrote, False
        return wrote

    async def apply(self, session: Session, batch: Sequence[Received]) -> Outcomes:
        """All events of a batch, so that the customers of all of them are locked once and in order."""
        outcomes: Counter[tuple[str, str]] = Counter()
        batch = await self._after_erasures(session, batch, outcomes)
        known = await self._look(session, batch)
        kept = await without_the_erased(session, batch, known.erased, outcomes)
        if len(kept) < len(batch):  # what was buried is known in another way now
            batch, known = kept, await self._look(session, kept)
        loyalty = [r.event for r in batch if isinstance(r.event, CustomerChanged)]
        standings = [_standing(event) for event in loyalty]
        told = [r for r in batch if not isinstance(r.event, CustomerChanged)]
        of_answers = deciding.relevant(told, self._policies, outcomes)
        seen = known.answers
        if any(is_erased(answer.customer_ref) for answer in seen.values()):
            of_answers = deciding.relevant(unwritten(told, seen), self._policies, Counter())
        touched = deciding.people(of_answers, seen, self._beyond)
        touched |= deciding.customers(of_answers) & known.with_cases
        people = await customers.lock(session, [*(s.ref for s in standings), *touched])
        learnt = await customers.learn(session, standings)
        outcomes[CUSTOMERS.name, "ok"] += len(learnt)
        outcomes[CUSTOMERS.name, "duplicate"] += len(standings) - len(learnt)
        fresh = deciding.unseen(of_answers, seen, outcomes)
        if fresh:
            await self._answers_changed(session, fresh, seen.keys(), people | learnt)
        await count_arrivals(session, batch, self._policies)
        return outcomes

    async def _look(self, session: Session, batch: Sequence[Received]) -> Before:
        people = {ref for received in batch if (ref := customer_of(received.event))}
        keys = deciding.relevant(batch, self._policies, Counter())
        return await before.look(session, people, keys, days=WATCHED_DAYS)

    async def _after_erasures(
        self, session: Session, batch: Sequence[Received], outcomes: Counter[tuple[str, str]]
    ) -> Sequence[Received]:
        """Erasures first, so that they take their lock before any row is locked; then what is left to do."""
        erasures = [r for r in batch if isinstance(r.event, CustomerErased)]
        if not erasures:
            await LEDGER.share(session)
            return batch
        await LEDGER.hold(session)
        erased = until(r.event for r in erasures)
        outcomes.update(ended(erasures, await self._forgetting.erase(session, erased, now=self._now())))
        self._wrote = True
        return [r for r in batch if not isinstance(r.event, CustomerErased)]

    async def _answers_changed(
        self,
        session: Session,
        fresh: deciding.News,
        old: Set[AnswerKey],
        people: Mapping[Ref, Customer],
    ) -> None:
        """`old`: answers that had a row before, so only these can have a case."""
        events = {key: {i: r.event for i, r in told.items()} for key, told in fresh.items()}
        folded = await answers.add(session, events)
        known = {key: answer for key, answer in folded.items() if answer}
        links = await cases.links(session, old & known.keys())
        judged = {
            key: answer
            for key, answer in known.items()
            if key in links or (not answer.retracted and (key[0], answer.body.person.ref) in people)
        }
        if not judged:
            return
        refs = {(key[0], answer.body.person.ref) for key, answer in judged.items()}
        held = await cases.lock(session, refs, [links[key].case_id for key in judged if key in links])
        answered = await past.of_customers(session, refs)
        now = self._now()
        written, new = self._judge.decide(judged, Known(fresh, links, held, people, answered), now)
        if written:
            self._wrote = True
            handed_out = await recording.hand_out(session, written, self._policies)
            await self._ledger.write(session, handed_out, now=now, new=new, words=_words(written, judged))


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


def _words(written: Iterable[Written], judged: Mapping[AnswerKey, Answer]) -> dict[str, str]:
    """By case, the text of the answers that changed it."""
    words: dict[str, str] = {}
    for w in written:
        case = w.change.case
        said = found_by(judged[case.store, w.response_id])
        words[case.case_id] = f"{words.get(case.case_id, '')} {said}".strip()
    return words
