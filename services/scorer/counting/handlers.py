"""What the events do to the counts; which event comes here, says `services/scorer/handlers.py`."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.domain.answer import Answer, Body, Outcome
from services.scorer.counting.erasing import LEDGER, AnswerEraser
from services.scorer.counting.store import erasing, respondents
from services.scorer.counting.store.answers import Key, body_of, counted_answers_of, read_answers
from shared.db import Session, asyncpg_connection
from shared.db.erasures import erased_until, erasure_outcomes
from shared.events import Event, Received
from shared.events.customers import CustomerChanged
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import CUSTOMERS, RESPONSES
from shared.kafka import OutcomeCounts
from shared.ops import metrics

CUSTOMERS_SHARD = 1000
"""Added to a partition of the customers topic, so that its writer never meets one of the responses topic."""

ERASURES_SHARD = 2000
"""The same for the erasures topic."""


class AnswerHandlers:
    """What the events do to answers, tiers and buckets.

    Each method applies a batch in the caller's transaction, and returns how many events ended how.
    """

    def __init__(self, counter: AnswerCounter, eraser: AnswerEraser) -> None:
        self._counter = counter
        self._eraser = eraser

    async def erase(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        """Erase people; their answers count as before, as those of surrogates."""
        await LEDGER.hold(session)
        shard = ERASURES_SHARD + min(received.partition for received in batch)
        erased = erased_until(received.event for received in batch)
        return erasure_outcomes(batch, await self._eraser.erase(session, erased, shard=shard))

    async def count_answers(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        """Merge submissions, amendments and retractions, and move the buckets by the difference."""
        db = await asyncpg_connection(session)
        keys = [_key(received.event) for received in batch]
        sent = {r.event.fingerprint for r in batch if type(r.event) is ResponseSubmitted}
        known = await read_answers(db, keys, among=sent)
        people = _customers(batch)
        allowed = await self._eraser.anonymise_late(session, batch, known, people)
        if allowed is not batch:
            batch, people = allowed, _customers(allowed)
        people.update(respondent for answer in known.values() if (respondent := _respondent(answer)))
        spells, new_people = await respondents.lock_respondents(db, people)
        if known:
            known = await read_answers(
                db, known, among=sent, lock=True
            )  # what the locks guard may have changed
        before = {key: _respondent(answer) for key, answer in known.items()}
        waiting = {key for key, answer in known.items() if answer.body is None}
        refused = sum(answer.refused for answer in known.values())
        outcomes: Counter[tuple[str, str]] = Counter()
        changed: dict[Key, Answer] = {}
        for key, received in zip(keys, batch, strict=True):
            answer = changed.get(key) or known.get(key)
            if answer is None and (body := _body(received)):  # nothing to merge with
                changed[key] = Answer(*key, body, changed=True)
                continue
            answer = answer or Answer(*key)
            outcomes[received.topic, _merge(answer, received).value] += 1
            if answer.erased:
                answer.forget_texts()
            if answer.changed or answer.new_rivals:
                changed[key] = answer
        if new := len(batch) - outcomes.total():
            outcomes[RESPONSES.name, Outcome.OK.value] += new
        await self._counter.recount(
            db,
            list(changed.values()),
            spells=spells,
            new_respondents=new_people,
            former_respondents={former for key in changed if (former := before.get(key))},
            shard=min(received.partition for received in batch),
        )
        new_answers = [answer for key, answer in changed.items() if key in waiting or key not in known]
        _measure(new_answers, outcomes[RESPONSES.name, Outcome.CONFLICT.value])
        newly_refused = sum(answer.refused for answer in (known | changed).values()) - refused
        metrics.AMENDMENTS_REFUSED.inc(max(0, newly_refused))
        return outcomes

    async def move_tiers(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        """Store newer tiers, and count each answer under the tier that was in force when it was given."""
        db = await asyncpg_connection(session)
        # The answers in the same transaction have locked respondents of their own, so two members could wait
        # for each other. Let go well before PostgreSQL calls it a deadlock (1 s), and try all again.
        await db.execute("SET LOCAL lock_timeout = '50ms'")
        newest: dict[Key, CustomerChanged] = {}
        for received in batch:
            event = received.event
            assert isinstance(event, CustomerChanged)  # noqa: S101 - the only kind in the batch
            key = (event.store, event.customer_ref)
            if key not in newest or newest[key].seq < event.seq:
                newest[key] = event
        erased = await LEDGER.of(session, newest.keys())
        # Who is erased elsewhere already will be here: until then the tiers are needed for what is counted.
        await respondents.note_ends(db, {k: e.seq for k, e in newest.items() if e.erased and k not in erased})
        newest = {key: event for key, event in newest.items() if _is_newer(event, erased.get(key))}
        await respondents.lock_respondents(db, newest)
        moved = await respondents.store_newer_tiers(db, newest)
        answers = await counted_answers_of(db, moved)
        await self._counter.recount(
            db,
            answers,
            spells=moved,
            whole_respondents=True,
            shard=CUSTOMERS_SHARD + min(received.partition for received in batch),
        )
        if erased_here := [key for key, event in newest.items() if event.erased]:
            await erasing.drop_unused_respondents(db, erased_here)
        duplicates = len(batch) - len(moved)
        return {(CUSTOMERS.name, "ok"): len(moved), (CUSTOMERS.name, "duplicate"): duplicates}


def _is_newer(event: CustomerChanged, erased_at: datetime | None) -> bool:
    """Whether a customer's state is from after the erasure, so that it may be stored.

    `erased_at` None: the customer was not erased. `seq` is the segmenter's clock in milliseconds.
    """
    if erased_at is None:
        return not event.erased
    return event.seq > erased_at.timestamp() * 1000


def _merge(answer: Answer, received: Received) -> Outcome:
    if body := _body(received):
        return answer.submit(body)
    event = received.event
    match event:
        case ResponseAmended():
            return answer.amend(event.revisions(received.envelope.id))
        case ResponseRetracted():
            return answer.retract()
        case _:
            raise TypeError(type(event).__name__)


def _body(received: Received) -> Body | None:
    event = received.event
    if type(event) is not ResponseSubmitted:
        return None
    return body_of(event, received.envelope.id, received.raw)


def _key(event: Event) -> Key:
    return (event.store, event.response_id)  # type: ignore[attr-defined]


def _customers(batch: Iterable[Received]) -> set[Key]:
    return {
        (event.store, respondent)
        for received in batch
        if type(event := received.event) is ResponseSubmitted and (respondent := event.respondent)
    }


def _respondent(answer: Answer) -> Key | None:
    return (answer.store, answer.body.respondent) if answer.body and answer.body.respondent else None


def _measure(new_answers: Collection[Answer], conflicts: int) -> None:
    """Export the conflicts, the latency and the scores of a batch. The slowest new answer stands for the
    batch: exact where it matters, and cheap. `new_answers`: those whose submission was not known before."""
    metrics.ANSWER_CONFLICTS.inc(conflicts)
    fresh = [(a.counted.group, a.body.channel) for a in new_answers if a.body and a.counted]
    if not fresh:
        return
    oldest = min([a.body.received_at for a in new_answers if a.body])
    metrics.PIPELINE_LATENCY.labels("scored").observe(max(0.0, time.time() - oldest.timestamp()))
    for (group, channel), count in Counter(fresh).items():
        metrics.SCORES.labels(group.name.lower(), str(channel)).inc(count)
