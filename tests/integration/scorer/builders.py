"""Events that show the one value that matters, and a shop of its own for each test."""

import asyncio
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.store.series import Series, SeriesIds
from services.scorer.handlers import handlers
from services.scorer.scores.jobs import HourCounter
from services.scorer.scores.store import tallies
from services.scorer.scores.store.tallies import Tally
from shared.config import Config, load
from shared.db import Database, asyncpg_connection, is_race, is_transient
from shared.events import Envelope, Event, Received
from shared.events.customers import CustomerChanged, TierSpell
from shared.events.responses import Customer, Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.feedback.metrics import scale_for
from shared.feedback.windows import Window, parse_window

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    """`2026-03-01` or with a time; UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Sent:
    """An event and the id of its envelope."""

    event: Event
    ce_id: str

    def received(self, partition: int) -> Received:
        envelope = Envelope.of(self.event.type, source="test", event_id=self.ce_id)
        return Received(self.event, envelope, self.event.topic.name, partition, 0, self.event.body())


def answer(
    name: str = "r-1",
    score: int = 9,
    when: datetime | str = NOON,
    *,
    who: str | None = None,
    ce_id: str = "",
    store: str = "shop",
    **more: Any,
) -> Sent:
    moment = at(when) if isinstance(when, str) else when
    known: dict[str, Any] = {
        "identity": Identity.IDENTIFIED if who else Identity.ANONYMOUS,
        "customer": Customer(ref=who) if who else None,
        "metric": "nps",
        "scale": "0-10",
        "received_at": moment,
    } | more
    said = [name, score, who, moment.isoformat(), known["metric"], known["scale"], known.get("segments")]
    known.setdefault("fingerprint", str(zlib.crc32(repr(said).encode())))
    event = ResponseSubmitted(store=store, response_id=name, score=score, answered_at=moment, **known)
    return Sent(event, ce_id or f"ce-{name}")


def amend(
    name: str = "r-1", *, revision: int = 1, ce_id: str = "", store: str = "shop", **changes: Any
) -> Sent:
    event = ResponseAmended(store=store, response_id=name, received_at=NOON, revision=revision, **changes)
    return Sent(event, ce_id or f"am-{name}-{revision}")


def retract(name: str = "r-1", *, store: str = "shop") -> Sent:
    return Sent(ResponseRetracted(store=store, response_id=name, received_at=NOON), f"gone-{name}")


def tiers(who: str, *spells: tuple[datetime | str, str], seq: int = 1, store: str = "shop") -> Sent:
    history = tuple(
        TierSpell(tier=tier, since=at(since) if isinstance(since, str) else since) for since, tier in spells
    )
    event = CustomerChanged(store=store, customer_ref=who, seq=seq, tier=history[-1].tier, history=history)
    return Sent(event, f"tier-{who}-{seq}")


def configured(tmp_path: Path, **stores: Mapping[str, Any]) -> Config:
    path = tmp_path / f"{uuid4().hex}.yaml"
    path.write_text(json.dumps({"stores": stores}))
    return load(path, {})


@dataclass
class Shop:
    """A store of its own: events are written for `shop`, and arrive under its own name."""

    database: Database
    folder: Path
    name: str = field(default_factory=lambda: f"s{uuid4().hex[:12]}")
    partitions: int = 4

    def __post_init__(self) -> None:
        self.configure()

    def configure(self, **rules: Any) -> "Shop":
        """Start the scorer anew with these rules."""
        self.rules = {"name": "A shop", "policy": "all"} | rules
        self.config = configured(self.folder, **{self.name: self.rules})
        self.counter = AnswerCounter(self.config, SeriesIds())
        self.handlers = handlers(self.counter)
        return self

    def without_store(self) -> "Shop":
        """Start the scorer with a configuration that does not know this store."""
        self.counter = AnswerCounter(configured(self.folder, other={"name": "Another"}), SeriesIds())
        self.handlers = handlers(self.counter)
        return self

    def received(self, sent: Sent) -> Received:
        event = sent.event.model_copy(update={"store": self.name})
        return Sent(event, sent.ce_id).received(zlib.crc32(event.key()) % self.partitions)

    async def send(self, *batch: Sent) -> dict[str, int]:
        """One batch in one transaction, as the applier does it; returns the outcomes."""
        outcomes: dict[str, int] = defaultdict(int)
        by_handler: dict[Any, list[Received]] = {}
        table = self.handlers
        for received in map(self.received, batch):
            by_handler.setdefault(table[type(received.event)], []).append(received)
        async with self.database.transaction() as session:
            for handler, events in by_handler.items():
                for (_, outcome), count in (await handler(session, events) or {}).items():
                    outcomes[outcome] += count
        return dict(outcomes)

    async def send_despite_others(self, *batch: Sent) -> int:
        """`send`, tried again as the applier and the consumer do; returns how often it was put off."""
        put_off = 0
        while True:
            try:
                await self.send(*batch)
            except Exception as error:
                if not is_transient(error) and not is_race(error):
                    raise
                put_off += 1
                await asyncio.sleep(0.01 * put_off)
            else:
                return put_off

    async def send_each(self, *events: Sent) -> None:
        for event in events:
            await self.send(event)

    async def tally(
        self,
        as_of: datetime | str,
        window: str = "30d",
        *,
        policy: str = "all",
        segment: str = "",
        touchpoint: str = "",
        metric: str = "nps",
        scale: str | None = None,
        present: bool = False,
    ) -> Tally:
        """What the API counts; `present`: as if nothing was answered after `as_of`."""
        moment = at(as_of) if isinstance(as_of, str) else as_of
        known, length = scale_for(metric, scale), parse_window(window)
        series = Series(self.name, metric, known.id, segment, touchpoint)
        async with self.database.snapshot() as session:
            return await tallies.read(
                await asyncpg_connection(session),
                self.counter.series_ids,
                series,
                Window.ending(moment, length),
                self.config.stores[self.name].zone,
                latest=policy == "latest",
                past=not present,
                latest_limit=10_000,
            )

    async def counts(self, as_of: datetime | str, window: str = "30d", **more: Any) -> tuple[int, int, int]:
        """(promoters, passives, detractors)"""
        counts = (await self.tally(as_of, window, **more)).counts
        return counts.promoters, counts.passives, counts.detractors

    async def count_hours(self) -> None:
        """All that are over and changed; also those of other stores."""
        job = HourCounter(self.database, settled_seconds=0, worth_answers=1)
        while await job.count_some():
            pass

    async def hours_in_use(self) -> int:
        """How many counted hours a reader would use now."""
        [(number,)] = await self.rows(
            """SELECT count(*) FROM scorer.counted_hours c WHERE c.store = $1 AND c.used AND c.changes = (
                   SELECT sum(changes) FROM scorer.hour_marks WHERE (store, hour) = (c.store, c.hour))"""
        )
        return int(number)

    async def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """`$1` is this store."""
        async with self.database.snapshot() as session:
            db = await asyncpg_connection(session)
            return [tuple(row) for row in await db.fetch(query, self.name, *arguments)]

    async def execute(self, statement: str) -> None:
        """`$1` is this store."""
        async with self.database.transaction() as session:
            await (await asyncpg_connection(session)).execute(statement, self.name)

    async def buckets(self) -> dict[tuple[Any, ...], tuple[int, ...]]:
        """(metric, scale, segment, touchpoint, day) -> the eight sums; empty ones left out."""
        rows = await self.rows(
            """SELECT s.metric, s.scale, s.segment, s.touchpoint, b.day, sum(detractors)::int,
                      sum(passives)::int, sum(promoters)::int, sum(points)::int, sum(latest_detractors)::int,
                      sum(latest_passives)::int, sum(latest_promoters)::int, sum(latest_points)::int
               FROM scorer.buckets b JOIN scorer.series s ON s.id = b.series WHERE s.store = $1
               GROUP BY 1, 2, 3, 4, 5"""
        )
        return {row[:5]: row[5:] for row in rows if any(row[5:])}

    async def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row that this store's events made."""
        return {
            "answers": await self.rows(
                """SELECT response_id, respondent, metric, scale, answered_at, received_at, ce_id,
                          fingerprint, amended::text, retracted, latest, day, grp, score,
                          (SELECT array_agg(s.segment || '|' || s.touchpoint ORDER BY s.segment, s.touchpoint)
                           FROM unnest(a.series) AS x JOIN scorer.series s ON s.id = x) AS cuts,
                          replace(body, $1, '')
                   FROM scorer.answers a WHERE store = $1 ORDER BY 1"""
            ),
            "conflicts": await self.rows(
                "SELECT response_id, fingerprint FROM scorer.conflicts WHERE store = $1 ORDER BY 1, 2"
            ),
            "respondents": await self.rows(
                "SELECT respondent, tier_seq, tiers::text FROM scorer.respondents WHERE store = $1 ORDER BY 1"
            ),
            "buckets": sorted((await self.buckets()).items()),
        }

    async def writes(self) -> list[tuple[Any, ...]]:
        """How often each bucket was written."""
        return await self.rows(
            """SELECT b.series, b.day, b.shard, b.changes FROM scorer.buckets b
               JOIN scorer.series s ON s.id = b.series WHERE s.store = $1 ORDER BY 1, 2, 3"""
        )

    async def send_twice(self, *batch: Sent) -> None:
        """Once, and again: the second time nothing may move."""
        await self.send(*batch)
        state, writes = await self.state(), await self.writes()
        again = await self.send(*batch)
        assert await self.state() == state
        assert await self.writes() == writes
        assert set(again) <= {"duplicate", "ok"}
        assert again.get("ok", 0) == 0


def batches(events: Iterable[Sent], cuts: Sequence[int]) -> list[list[Sent]]:
    """The events in runs that end at these places."""
    every = list(events)
    edges = sorted({0, len(every), *[cut for cut in cuts if 0 < cut < len(every)]})
    return [every[a:b] for a, b in pairwise(edges)]
