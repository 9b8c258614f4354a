"""The job that looks for scores that fell and for stores that fell silent, and makes notices of them."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from services.notifier.deliveries import notices
from services.notifier.deliveries.notices import NewNotice
from services.notifier.watch import store as watch_store
from services.notifier.watch.domain import (
    Compared,
    FallChange,
    ScoreRule,
    SilenceRule,
    WatchPolicy,
    fall_changes,
    silent,
    usual,
    usual_hours,
)
from services.notifier.watch.store import Silence, parts_of
from services.notifier.watch.wording import answers_back_notice, fall_notice, silence_notice
from shared.config.stores import Store
from shared.db import Database, Session
from shared.jobs.rounds import LeasedClockJob
from shared.ops import tracing
from shared.ops.logs import log

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
        policies: Mapping[str, WatchPolicy],
        stores: Mapping[str, Store],
        *,
        every_seconds: float = 60,
    ) -> None:
        super().__init__(database, "notifier", "watch", every_seconds=every_seconds)
        self._stores = stores
        self._policies = policies
        self._dropped_at: datetime | None = None

    async def work(self) -> None:
        await self.look(datetime.now(UTC))

    async def look(self, now: datetime) -> int:
        """Look at everything once; returns how many notices were made."""
        notices_made = 0
        for store, policy in self._policies.items():
            for rule in policy.score_rules:
                async with self._database.transaction() as session:
                    notices_made += await self._look_at_scores(session, store, rule, now)
        for store, policy in self._policies.items():
            for silence_rule in policy.silence_rules:
                async with self._database.transaction() as session:
                    notices_made += await self._look_for_silence(session, store, silence_rule, now)
        if self._dropped_at is None or now - self._dropped_at > timedelta(hours=6):
            async with self._database.transaction() as session:
                await watch_store.drop_old(
                    session,
                    samples_before=(now - _SAMPLES_KEPT).date(),
                    hours_before=now - _HOURS_KEPT,
                )
            self._dropped_at = now
        return notices_made

    async def _look_at_scores(self, session: Session, store: str, rule: ScoreRule, now: datetime) -> int:
        watched = [key for key in await watch_store.sampled_keys(session, store) if _watches(rule, key)]
        if not watched:
            return 0
        scores = await watch_store.compared_scores(session, store, rule.name, watched, rule.length, now=now)
        by_key = {score.key: score for score in scores}
        changes = fall_changes(rule, scores)
        await watch_store.falls_ended(
            session,
            store,
            rule.name,
            sorted(key for key, change in changes.items() if change is FallChange.OVER),
        )
        fell = sorted(key for key, change in changes.items() if change is FallChange.FELL)
        for key in fell:
            await self._tell_fall(session, store, rule, by_key[key])
        return len(fell)

    async def _tell_fall(self, session: Session, store: str, rule: ScoreRule, score: Compared) -> None:
        mark = hashlib.sha256(score.key.encode()).hexdigest()[:12]
        notice_id = f"fall:{store}:{rule.name}:{mark}:{score.now.as_of:%Y%m%dT%H%M%SZ}"
        if await watch_store.fall_began(
            session, store, rule.name, score.key, since=score.now.as_of, notice_id=notice_id
        ):
            await self._tell(
                session, fall_notice(notice_id, store, self._stores[store], rule, score), rule.channels
            )

    async def _look_for_silence(self, session: Session, store: str, rule: SilenceRule, now: datetime) -> int:
        silences = await watch_store.silences(session, store)
        notices_made = 0
        for touchpoint in rule.touchpoints or ("",):
            last = await watch_store.last_answer(session, store, touchpoint)
            silence = silences.get((rule.name, touchpoint))
            if silence is not None:
                if (
                    last is not None
                    and last > silence.since
                    and await watch_store.silence_ended(session, store, silence)
                ):
                    notices_made += await self._tell(
                        session, answers_back_notice(store, self._stores[store], silence, last), rule.channels
                    )
                continue
            spans = usual_hours(now, rule.hours, self._stores[store].zone)
            usually = usual(await watch_store.answer_counts(session, store, touchpoint, spans))
            if last is None or not silent(rule, last, usually, now):
                continue
            named = f"{rule.name}:{touchpoint}" if touchpoint else rule.name
            begun = Silence(rule.name, touchpoint, last, f"silence:{store}:{named}:{last:%Y%m%dT%H%M%SZ}")
            if await watch_store.silence_began(session, store, begun):
                new = silence_notice(store, self._stores[store], rule, begun, usually=usually)
                notices_made += await self._tell(session, new, rule.channels)
        return notices_made

    async def _tell(self, session: Session, new: NewNotice, channels: Sequence[str] | None) -> int:
        targets = self._policies[new.store].channels
        channels_on = [name for name in targets if channels is None or name in channels]
        added = await notices.add(session, new, channels_on, traceparent=tracing.new_trace("watch"))
        _log.info("notice.made", kind=new.kind, store=new.store, notice_id=new.notice_id)
        return int(added)


def _watches(rule: ScoreRule, key: str) -> bool:
    metric, _, segment, touchpoint, window = parts_of(key)
    return rule.watches(metric=metric, window=window, segment=segment, touchpoint=touchpoint)
