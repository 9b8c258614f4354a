"""Looks at scores and at silence, and tells what is news."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from services.notifier.deliveries import notices
from services.notifier.deliveries.notices import Kind, New
from services.notifier.report.wording import MINUS, minute
from services.notifier.settings import Alerts
from services.notifier.watch import store as intake
from services.notifier.watch import store as watching
from services.notifier.watch.domain import (
    Compared,
    ScoreRule,
    SilenceRule,
    Turn,
    difference_of,
    silent,
    turns,
    usual,
    usual_hours,
)
from services.notifier.watch.store import Silence, parts_of
from shared.config.stores import Store
from shared.db import Database, Session
from shared.feedback.comparison import Difference
from shared.feedback.figures import Figure, summary
from shared.feedback.metrics import Metric
from shared.feedback.nps import Interval, round1
from shared.jobs.rounds import LeasedClockJob
from shared.ops import tracing
from shared.ops.logs import log

# What people are told of a score that fell, and of answers that stopped or came back.

_NAMES = {Metric.NPS: "NPS", Metric.ENPS: "eNPS", Metric.CSAT: "CSAT", Metric.CES: "CES"}


def fall(notice_id: str, store: str, shop: Store, rule: ScoreRule, one: Compared) -> New:
    """One sentence first, then the numbers and how they were compared."""
    _, policy, segment, touchpoint, window = parts_of(one.key)
    where = ", ".join(part for part in (segment, touchpoint) if part) or "all customers"
    before, now = (summary(rule.metric, sample.counts) for sample in (one.before, one.now))
    gap = difference_of(one, rule.metric)
    if gap is None:
        raise ValueError("a score of no answers cannot have fallen")
    name = _NAMES[rule.metric]
    return New(
        notice_id,
        store,
        Kind.SCORE_FELL,
        f"{name} of {where} fell by {_number(-gap.delta)} points",
        {
            "text": f"{name} of {where} over {window} is {_shown(now)}, and was {_shown(before)} one window "
            f"earlier. This is more than noise: {_p(gap)}.",
            "facts": {
                "Now": f"{_shown(now)}, 95% interval {_range(now.ci95)}, "
                f"as of {minute(one.now.as_of, shop.zone)}",
                "Before": f"{_shown(before)}, 95% interval {_range(before.ci95)}, "
                f"as of {minute(one.before.as_of, shop.zone)}",
                "Change": f"{_signed(gap.delta)}, 95% interval {_range(gap.ci95)}",
                "Rule": rule.name,
            },
            "metric": rule.metric.value,
            "segment": segment,
            "touchpoint": touchpoint,
            "window": window,
            "policy": policy,
            "n": one.now.counts.n,
            "n_before": one.before.counts.n,
        },
        f"/inbox/report?store={store}",
    )


def silence(store: str, shop: Store, rule: SilenceRule, found: Silence, *, usually: float) -> New:
    at = f" at {found.touchpoint}" if found.touchpoint else ""
    return New(
        found.notice_id,
        store,
        Kind.SILENCE,
        f"No answers{at} for {rule.hours} hours",
        {
            "text": f"The last answer{at} came on {minute(found.since, shop.zone)}. In the same {rule.hours} "
            f"hours of the four weeks before there were {_count(usually)}. Is the survey still sent, and do "
            "the shop's servers still reach us?",
            "facts": {"Last answer": minute(found.since, shop.zone), "Rule": rule.name},
            "touchpoint": found.touchpoint,
            "since": found.since.isoformat(),
        },
        f"/inbox/report?store={store}",
    )


def answers_back(store: str, shop: Store, known: Silence, last: datetime) -> New:
    at = f" at {known.touchpoint}" if known.touchpoint else ""
    return New(
        f"{known.notice_id}:back",
        store,
        Kind.SILENCE,
        f"Answers{at} are back",
        {
            "text": f"Answers{at} come again: there were none from {minute(known.since, shop.zone)}, and the "
            f"latest came on {minute(last, shop.zone)}.",
            "facts": {"Rule": known.rule},
            "touchpoint": known.touchpoint,
            "since": known.since.isoformat(),
        },
        f"/inbox/report?store={store}",
    )


def _shown(figure: Figure) -> str:
    value = _number(figure.score or 0.0)
    return f"{value} (n = {figure.n:,})" if figure.n is not None else value


def _number(value: float) -> str:
    """One decimal, a true minus."""
    rounded = round1(value)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded):.1f}"


def _signed(value: float) -> str:
    return f"+{_number(value)}" if round1(value) > 0 else _number(value)


def _range(found: Interval | None) -> str:
    return "–" if found is None else f"{_number(found.lo)} to {_number(found.hi)}"


def _p(gap: Difference) -> str:
    if gap.p is None:
        return "p unknown"
    return "p < 0.001" if gap.p < 0.001 else f"p = {gap.p:.3f}"


def _count(usually: float) -> str:
    return f"about {round(usually)}"


_log = log("notifier")

_HOURS_KEPT = timedelta(days=36)
_SAMPLES_KEPT = timedelta(days=2 * 365 + 7)


class Watch(LeasedClockJob):
    """A fall is told once, and again only after it was over; so is a silence, and that answers are back.

    What was told is a row written in the same transaction as the notice, so a crash repeats nothing.
    """

    def __init__(
        self,
        database: Database,
        alerts: Mapping[str, Alerts],
        stores: Mapping[str, Store],
        *,
        every_seconds: float = 60,
    ) -> None:
        super().__init__(database, "notifier", "watch", every_seconds=every_seconds)
        self._stores = stores
        self._targets = {name: tuple(section.targets) for name, section in alerts.items()}
        self._scores = {
            name: [r.for_domain() for r in section.score_rules] for name, section in alerts.items()
        }
        self._silences = {
            name: [r.for_domain() for r in section.silence_rules] for name, section in alerts.items()
        }
        self._forgot: datetime | None = None

    async def work(self) -> None:
        await self.look(datetime.now(UTC))

    async def look(self, now: datetime) -> int:
        """One look at everything; returns how much was told."""
        told = 0
        for store, rules in self._scores.items():
            for rule in rules:
                async with self._database.transaction() as session:
                    told += await self._look_at_scores(session, store, rule, now)
        for store, silences in self._silences.items():
            for silence_rule in silences:
                async with self._database.transaction() as session:
                    told += await self._look_for_silence(session, store, silence_rule, now)
        if self._forgot is None or now - self._forgot > timedelta(hours=6):
            async with self._database.transaction() as session:
                await watching.forget(
                    session,
                    samples_before=(now - _SAMPLES_KEPT).date(),
                    hours_before=now - _HOURS_KEPT,
                )
            self._forgot = now
        return told

    async def _look_at_scores(self, session: Session, store: str, rule: ScoreRule, now: datetime) -> int:
        watched = [key for key in await watching.keys(session, store) if _watches(rule, key)]
        if not watched:
            return 0
        scores = await watching.compared(session, store, rule.name, watched, rule.length, now=now)
        by_key = {one.key: one for one in scores}
        said = turns(rule, scores)
        await watching.over(
            session, store, rule.name, sorted(k for k, turn in said.items() if turn is Turn.OVER)
        )
        fell = sorted(key for key, turn in said.items() if turn is Turn.FELL)
        for key in fell:
            await self._tell_fall(session, store, rule, by_key[key])
        return len(fell)

    async def _tell_fall(self, session: Session, store: str, rule: ScoreRule, one: Compared) -> None:
        mark = hashlib.sha256(one.key.encode()).hexdigest()[:12]
        notice_id = f"fall:{store}:{rule.name}:{mark}:{one.now.as_of:%Y%m%dT%H%M%SZ}"
        if await watching.fallen(
            session, store, rule.name, one.key, since=one.now.as_of, notice_id=notice_id
        ):
            await self._tell(session, fall(notice_id, store, self._stores[store], rule, one), rule.channels)

    async def _look_for_silence(self, session: Session, store: str, rule: SilenceRule, now: datetime) -> int:
        held = await intake.silences(session, store)
        told = 0
        for touchpoint in rule.touchpoints or ("",):
            last = await intake.last_answer(session, store, touchpoint)
            known = held.get((rule.name, touchpoint))
            if known is not None:
                if last is not None and last > known.since and await intake.ended(session, store, known):
                    told += await self._tell(
                        session, answers_back(store, self._stores[store], known, last), rule.channels
                    )
                continue
            spans = usual_hours(now, rule.hours, self._stores[store].zone)
            usually = usual(await intake.counts(session, store, touchpoint, spans))
            if last is None or not silent(rule, last, usually, now):
                continue
            named = f"{rule.name}:{touchpoint}" if touchpoint else rule.name
            found = Silence(rule.name, touchpoint, last, f"silence:{store}:{named}:{last:%Y%m%dT%H%M%SZ}")
            if await intake.began(session, store, found):
                new = silence(store, self._stores[store], rule, found, usually=usually)
                told += await self._tell(session, new, rule.channels)
        return told

    async def _tell(self, session: Session, new: New, channels: Sequence[str] | None) -> int:
        targets = self._targets[new.store]
        wanted = [name for name in targets if channels is None or name in channels]
        added = await notices.add(session, new, wanted, traceparent=tracing.new_trace("watch"))
        _log.info("notice.made", kind=new.kind, store=new.store, notice_id=new.notice_id)
        return int(added)


def _watches(rule: ScoreRule, key: str) -> bool:
    metric, _, segment, touchpoint, window = parts_of(key)
    return rule.watches(metric=metric, window=window, segment=segment, touchpoint=touchpoint)
