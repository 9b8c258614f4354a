"""What operators ask of the scorer through `closeloop`: the only door of this service for `cli/`.

Recompute everything and compare (`verify`), count everything anew (`rebuild`), publish everything again
(`republish`), and the handlers for a replay.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store import respondents, verification
from services.scorer.counting.store.answers import Connection, Key, Spells, read_answers
from services.scorer.counting.store.series import SeriesIds
from services.scorer.counting.store.verification import Accepted, BucketFault
from services.scorer.handlers import handlers
from services.scorer.scores.store import published
from shared.config import Config
from shared.config.secrets import Secrets
from shared.db import Database, Raced, asyncpg_connection, is_transient
from shared.events import Event, NotAnEvent, decode
from shared.events.responses import ResponseSubmitted
from shared.events.topics import RESPONSES
from shared.feedback.identity import respondent
from shared.kafka import Brokers, Handler
from shared.kafka.applying import Unreadable
from shared.kafka.reading import differences, log_extents, read_log

CONSUMER = "closeloop-scorer"
JOB_SHARD = -1
"""The shard of everything that is not a consumer's."""
_TRIES = 5

Progress = Callable[[str, int, int], None]
"""Called with a step's name, what is done, and what there is in all (0: not known)."""


def no_progress(_: str, __: int, ___: int) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found. `balanced`: nothing is missing, doubled or in the wrong place."""

    log_faults: list[str] = field(default_factory=list)
    """Why the log cannot be followed: it is another one than the scorer read. Then nothing was accepted."""
    adoptions: list[datetime] = field(default_factory=list)
    """When operators adopted another log. What stood in the logs before cannot be followed any more."""
    unread: int = 0
    """Records of the log that the scorer has still to read."""
    accepted: int = 0
    """Distinct bodies (store, id, content) in the log, up to where the consumer is."""
    fates: Counter[str] = field(default_factory=Counter)
    """What became of them: counted, test, conflict, dead, retracted, erased, store_unknown, missing."""
    dead_changes: int = 0
    """Amendments and retractions among the dead letters: `closeloop dead list`."""
    unreadable: int = 0
    """Records that the Kafka client cannot read at all: dead letters by their place, of an unknown kind."""
    answers: int = 0
    misplaced: list[str] = field(default_factory=list)
    """Response ids whose stored place is not where today's rules count them: run `closeloop rebuild`."""
    bucket_faults: list[BucketFault] = field(default_factory=list)
    hour_faults: list[BucketFault] = field(default_factory=list)
    """Counted hours that are in use and differ from their answers."""
    latest_faults: int = 0
    """Answers whose mark as a respondent's last one is wrong."""
    refused_changes: int = 0
    """Amended scores that are impossible for their answer, and change nothing."""

    @property
    def balanced(self) -> bool:
        return not (
            self.log_faults
            or self.fates["missing"]
            or self.bucket_faults
            or self.hour_faults
            or self.misplaced
            or self.latest_faults
            or sum(self.fates.values()) != self.accepted
        )


async def verify(
    database: Database,
    config: Config,
    bootstrap: str | Brokers,
    *,
    progress: Progress = no_progress,
    batch: int = 5000,
) -> VerifyReport:
    """Recompute every bucket, every answer's place from its facts, and every accepted body's fate."""
    report = VerifyReport()
    counter = AnswerCounter(config, SeriesIds())
    async with database.snapshot() as session:
        db = await asyncpg_connection(session)
        total = await verification.count_answers(db, None)
        progress("buckets", 0, 1)
        await db.execute("SET LOCAL statement_timeout = 0")
        report.bucket_faults = await verification.bucket_faults(db)
        report.hour_faults = await verification.hour_faults(db)
        report.latest_faults = await verification.latest_faults(db)
        async for answers in verification.all_answers(db, None, batch):
            report.answers += len(answers)
            report.refused_changes += sum(answer.refused for answer in answers)
            spells = await respondents.read_spells(db, _respondents(answers))
            wrong = {answer.response_id for answer in await counter.misplaced(db, answers, spells)}
            keys = [(answer.store, answer.response_id) for answer in answers]
            wrong |= {key[1] for key in await verification.counted_for_the_claimed(db, keys)}
            report.misplaced += sorted(wrong)
            progress("answers", report.answers, total)
        await _reconcile(db, bootstrap, report, progress)
    return report


async def _reconcile(
    db: Connection, bootstrap: str | Brokers, report: VerifyReport, progress: Progress
) -> None:
    """accepted = counted + conflict + dead + retracted + erased (and test), over what the log still holds.

    What an erased person said goes on counting as nobody's, so it is among the counted. A log that the scorer
    has not read is not followed: its offsets are not the stored ones.
    """
    places = await verification.places(db, CONSUMER, RESPONSES.name)
    logs = await log_extents(bootstrap, [RESPONSES.name])
    report.adoptions = await verification.adoptions(db, CONSUMER, RESPONSES.name)
    report.log_faults = list(dict.fromkeys(difference.fault for difference in differences(places, logs)))
    if report.log_faults or not places:
        return
    upto = {partition: place.next_offset for (_, partition), place in places.items()}
    report.unread = sum(logs[RESPONSES.name].end.values()) - sum(upto.values())
    dead = await verification.dead_offsets(db, CONSUMER, RESPONSES.name, logs[RESPONSES.name].topic_id)
    seen: set[int] = set()
    read, whole = 0, sum(upto.values())
    async for records in read_log(bootstrap, RESPONSES.name, upto):
        bodies: list[Accepted] = []
        for record in records:
            if isinstance(record, Unreadable):
                report.unreadable += 1
                continue
            try:
                event, _ = decode(record.headers, record.value, topic=record.topic)
            except NotAnEvent:
                continue
            if not isinstance(event, ResponseSubmitted):
                report.dead_changes += (record.partition, record.offset) in dead
                continue
            body = (event.store, event.response_id, event.fingerprint)
            if hash(body) in seen:
                continue
            seen.add(hash(body))
            report.accepted += 1
            if (record.partition, record.offset) in dead:
                report.fates["dead"] += 1
            else:
                bodies.append(body)
        report.fates.update(await verification.fates_of(db, bodies))
        read += len(records)
        progress("log", read, whole)


async def rebuild(
    database: Database,
    config: Config,
    *,
    store_name: str | None = None,
    progress: Progress = no_progress,
    batch: int = 1000,
) -> int:
    """Count every answer where today's configuration says, while the consumers go on; returns how many moved.

    Then every bucket is written anew from the answers, in one transaction during which consumers wait;
    hours counted before it are void.
    """
    counter = AnswerCounter(config, SeriesIds())
    moved = answers_seen = 0
    async with database.snapshot() as session:
        total = await verification.count_answers(await asyncpg_connection(session), store_name)
    after: Key = ("", "")
    while True:
        async with database.snapshot() as session:
            keys = await verification.next_keys(await asyncpg_connection(session), store_name, after, batch)
        if not keys:
            break
        moved += await _recount(database, counter, keys)
        after = keys[-1]
        answers_seen += len(keys)
        progress("answers", answers_seen, total)
    async with database.transaction() as session:
        db = await asyncpg_connection(session)
        await db.execute("SET LOCAL statement_timeout = 0")
        progress("buckets", 0, 1)
        await verification.recount_buckets(db, JOB_SHARD)
    progress("buckets", 1, 1)
    return moved


async def _recount(database: Database, counter: AnswerCounter, keys: Collection[Key]) -> int:
    """Count these answers anew, a few times over when the consumers write them at the same moment."""
    for left in reversed(range(_TRIES)):
        try:
            async with database.transaction() as session:
                db = await asyncpg_connection(session)
                answers, spells, former = await _locked(db, keys)
                return await counter.recount(
                    db, answers, spells=spells, former_respondents=former, shard=JOB_SHARD
                )
        except Exception as error:
            if not left or not is_transient(error):
                raise
    raise AssertionError("the last try returns or raises")


async def _locked(db: Connection, keys: Collection[Key]) -> tuple[list[Answer], dict[Key, Spells], set[Key]]:
    """These answers, the tiers of their respondents, and the customers who lose an answer by it: older
    releases counted somebody who was only claimed as the customer.

    Raises Raced when an answer got another respondent just now.
    """
    claimed = await verification.counted_for_the_claimed(db, keys)
    before = _respondents((await read_answers(db, keys, among=())).values())
    apart = {(store, respondent(ref, verified=False)) for store, ref in claimed.values()}
    spells, _ = await respondents.lock_respondents(db, before | apart)
    answers = await read_answers(db, keys, among=(), lock=True)
    if not _respondents(answers.values()) <= spells.keys():
        raise Raced
    for key in claimed:
        answers[key].belongs_to(respondent(claimed[key][1], verified=False))
    return list(answers.values()), spells, set(claimed.values())


def _respondents(answers: Iterable[Answer]) -> set[Key]:
    return {(a.store, a.body.respondent) for a in answers if a.body and a.body.respondent}


async def republish(database: Database, store: str | None, *, batch: int = 5000) -> int:
    """Mark every published score, so that the publisher of a running scorer sends it again; returns how many.

    Each keeps its `seq`, so consumers that know the state ignore it.
    """
    marked, after = 0, published.START
    while True:
        async with database.transaction() as session:
            ids = await published.mark_unpublished(await asyncpg_connection(session), store, after, batch)
        if not ids:
            return marked
        marked, after = marked + len(ids), ids[-1]


async def count_unpublished(database: Database, store: str | None) -> int:
    """How many scores were not sent yet."""
    async with database.snapshot() as session:
        return await published.count_unpublished(await asyncpg_connection(session), store)


def replay_handlers(config: Config, _: Secrets) -> Mapping[type[Event], Handler]:
    """The handlers alone, as `closeloop dead replay` uses them."""
    return handlers(AnswerCounter(config, SeriesIds()))
