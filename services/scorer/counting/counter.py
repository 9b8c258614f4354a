"""Counts answers: finds the series of each, and moves the day buckets by the difference."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from functools import cache
from typing import TypeAlias

from services.scorer.counting.domain.answer import Answer, Contribution, settle_latest
from services.scorer.counting.domain.buckets import BucketChanges
from services.scorer.counting.domain.cuts import Cuts, tier_before
from services.scorer.counting.store import buckets, writing
from services.scorer.counting.store.answers import Connection, Key, Spells, answers_for_latest
from services.scorer.counting.store.buckets import Hour, mark_hours
from services.scorer.counting.store.series import Series, SeriesIds
from shared.config import Config, Store
from shared.feedback.metrics import group_of
from shared.feedback.windows import local_day

_MOST_PROFILES = 50_000
_MOST_QUARTERS = 50_000
_QUARTERS_TO_2012 = 15340 * 96

_group_of = cache(group_of)  # of few values; what is not one of a scale raises, and is not kept

Profile: TypeAlias = tuple[str, ...]
"""Store, metric, scale, "confidential" or "", and the values of touchpoint, tier and segments. Answers of one
profile count in the same series."""


class StoreRules:
    """What the configuration says of one store, as far as counting needs it."""

    def __init__(self, config: Store) -> None:
        self.config = config
        self.zone = config.zone
        self._days: dict[int, date] = {}
        self.cuts = Cuts(
            {
                name: frozenset(segment.values) if segment.values is not None else None
                for name, segment in config.segments.items()
            },
            frozenset(config.touchpoints),
            config.combinations,
            tiers=frozenset(config.tiers),
        )

    def day_of(self, moment: datetime, quarter: int) -> date:
        """The store's local day of this moment.

        `quarter`: the same moment in quarters of an hour since 1970. Since 2012 no time zone begins a day
        within a quarter, so all moments of one share their day.
        """
        day = self._days.get(quarter)
        if day is None:
            day = local_day(moment, self.zone)
            if quarter > _QUARTERS_TO_2012:
                if len(self._days) >= _MOST_QUARTERS:
                    self._days.clear()
                self._days[quarter] = day
        return day


class AnswerCounter:
    """Counts answers by the rules of their stores.

    `stores`: the rules by store; `series_ids`: the ids of the series that answers count in.
    """

    def __init__(self, config: Config, series_ids: SeriesIds) -> None:
        self.stores = {name: StoreRules(store) for name, store in config.stores.items()}
        self.series_ids = series_ids
        self._profiles: dict[Profile, tuple[int, ...]] = {}

    async def recount(
        self,
        db: Connection,
        answers: list[Answer],
        *,
        spells: Mapping[Key, Spells],
        new_respondents: AbstractSet[Key] = frozenset(),
        former_respondents: AbstractSet[Key] = frozenset(),
        whole_respondents: bool = False,
        shard: int,
    ) -> int:
        """Count these answers anew, write what changed and move the buckets; returns how many moved.

        `spells`: the tiers of the respondents over time. The caller has locked all respondents of these
        answers, also those to whom stored answers belonged before (`former_respondents`). Other answers of
        the same people may stop or start being the latest: they are read here and written too, unless
        `answers` already holds every answer of its respondents (`whole_respondents`). `shard`: which row of
        each bucket this writer adds to, so that two consumers do not wait for each other.
        """
        others = []
        if not whole_respondents:
            others = await self._others(db, answers, new_respondents, former_respondents)
        involved = [*answers, *others]
        before = [(answer.counted, answer.latest) for answer in involved]
        profiles = [self._profile(answer, spells) for answer in answers]
        series = await self._series_of(db, {profile for profile in profiles if profile})
        for answer, profile in zip(answers, profiles, strict=True):
            answer.counted = self._contribution(answer, series[profile]) if profile else None
        settle_latest(involved)
        changes = BucketChanges()
        count = 0
        hours: set[Hour] = set()
        moved: list[Answer] = []
        flipped: list[Answer] = []
        for answer, (was_counted, was_latest) in zip(involved, before, strict=True):
            stays, flips = answer.counted == was_counted, answer.latest != was_latest
            if stays and not flips:
                continue
            count += 1
            changes.note(was_counted, was_latest, answer.counted, answer.latest)
            hours.update((answer.store, place.hour) for place in (was_counted, answer.counted) if place)
            if answer.stored and not answer.changed:
                (flipped if stays else moved).append(answer)
        await writing.insert_answers(db, [answer for answer in answers if not answer.stored])
        await writing.update_answers(db, [answer for answer in answers if answer.stored and answer.changed])
        await writing.move_answers(db, moved)
        await writing.flip_latest(db, flipped)
        await writing.add_rivals(db, answers)
        await buckets.add_to_buckets(db, changes.deltas(), shard)
        await buckets.mark_series(db, changes.series, shard)
        await mark_hours(db, hours, shard)
        return count

    async def misplaced(
        self, db: Connection, answers: list[Answer], spells: Mapping[Key, Spells]
    ) -> list[Answer]:
        """The answers that are stored as counting elsewhere than these rules say. Writes nothing."""
        profiles = [self._profile(answer, spells) for answer in answers]
        by_profile = {profile: self._series(profile) for profile in set(profiles) if profile}
        ids = await self.series_ids.find_all(
            db, {series for profile_series in by_profile.values() for series in profile_series}
        )
        wrong = []
        for answer, profile in zip(answers, profiles, strict=True):
            expected = None
            if profile:
                expected_ids = tuple(sorted(ids.get(series, 0) for series in by_profile[profile]))
                expected = self._contribution(answer, expected_ids)
            if answer.counted != expected:
                wrong.append(answer)
        return wrong

    async def _others(
        self, db: Connection, answers: list[Answer], new: AbstractSet[Key], former: AbstractSet[Key]
    ) -> list[Answer]:
        """The stored answers beside these that `settle_latest` needs.

        `new`: respondents without a stored answer. A respondent who only has new answers here: the present
        latest is enough. A respondent of whom a stored answer changed, and each of `former`: all answers,
        since the changed one may have been the latest, and any other may take its place.
        """
        with_changes, with_additions = set(former), set[Key]()
        for answer in answers:
            if answer.body and answer.body.respondent:
                key = (answer.store, answer.body.respondent)
                (with_changes if answer.stored else with_additions).add(key)
        others = await answers_for_latest(db, with_changes, only_latest=False)
        others += await answers_for_latest(db, with_additions - with_changes - new, only_latest=True)
        keys = {(answer.store, answer.response_id) for answer in answers}
        return [answer for answer in others if (answer.store, answer.response_id) not in keys]

    def _profile(self, answer: Answer, spells: Mapping[Key, Spells]) -> Profile | None:
        """The profile of an answer; None when it counts nowhere."""
        body = answer.body
        rules = self.stores.get(answer.store)
        if body is None or rules is None or not answer.counts:
            return None
        tier = None
        if body.respondent and (known := spells.get((answer.store, body.respondent))):
            tier = tier_before(known, body.answered_at)
        return (
            answer.store,
            body.metric,
            body.scale,
            "confidential" if body.confidential else "",
            *rules.cuts.profile(body.segments, body.touchpoint, tier),
        )

    async def _series_of(self, db: Connection, profiles: set[Profile]) -> dict[Profile, tuple[int, ...]]:
        """The ids of the series of each profile, made where missing."""
        known = {profile: self._profiles[profile] for profile in profiles if profile in self._profiles}
        by_profile = {profile: self._series(profile) for profile in profiles - known.keys()}
        if not by_profile:
            return known
        ids = await self.series_ids.ids(
            db, {series for profile_series in by_profile.values() for series in profile_series}
        )
        if len(self._profiles) > _MOST_PROFILES:
            self._profiles.clear()
        for profile, profile_series in by_profile.items():
            known[profile] = tuple(sorted(ids[series] for series in profile_series))
            if self.series_ids.knows(profile_series):
                self._profiles[profile] = known[profile]
        return known

    def _series(self, profile: Profile) -> list[Series]:
        """The series that an answer of this profile counts in."""
        store, metric, scale, confidential, *values = profile
        cuts = self.stores[store].cuts.of(tuple(values))
        series = [Series(store, metric, scale, cut.segment, cut.touchpoint) for cut in cuts]
        return series + [part.confidential() for part in series] if confidential else series

    def _contribution(self, answer: Answer, series: tuple[int, ...]) -> Contribution:
        body, score = answer.body, answer.score
        if body is None or score is None:
            raise ValueError("an answer without a body counts nowhere")
        at = body.answered_at
        quarter = int(at.timestamp() // 900)
        day = self.stores[answer.store].day_of(at, quarter)
        return Contribution(series, day, _group_of(body.metric, body.scale, score), score, at, quarter // 4)
