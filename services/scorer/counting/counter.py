"""Where answers count now, where they counted before, and the difference to the buckets."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from functools import cache
from typing import TypeAlias

from services.scorer.counting.domain.answer import Answer, Contribution, settle_latest
from services.scorer.counting.domain.buckets import Ledger
from services.scorer.counting.domain.cuts import Cuts, tier_before
from services.scorer.counting.store import answers as store
from services.scorer.counting.store import buckets, writing
from services.scorer.counting.store.answers import Connection, Key, Spells
from services.scorer.counting.store.buckets import Hour, mark_hours
from services.scorer.counting.store.series import Series, SeriesBook
from shared.config import Config, Store
from shared.feedback.metrics import group_of
from shared.feedback.windows import local_day

_MOST_PROFILES = 50_000
_MOST_QUARTERS = 50_000
_QUARTERS_TO_2012 = 15340 * 96

_group_of = cache(group_of)  # of few values; what is not one of a scale raises, and is not kept

Profile: TypeAlias = tuple[str, ...]
"""Store, metric, scale, and the values that decide the cuts: answers of one profile share their series."""


class StoreRules:
    """One store as counting needs it."""

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
        )

    def day_of(self, moment: datetime, quarter: int) -> date:
        """The local day; `quarter` is the quarter of an hour since 1970, which no zone divides since 2012."""
        day = self._days.get(quarter)
        if day is None:
            day = local_day(moment, self.zone)
            if quarter > _QUARTERS_TO_2012:
                if len(self._days) >= _MOST_QUARTERS:
                    self._days.clear()
                self._days[quarter] = day
        return day


class Counting:
    """The rules of every store, and the ids of the series that answers count in."""

    def __init__(self, config: Config, book: SeriesBook) -> None:
        self.stores = {name: StoreRules(store) for name, store in config.stores.items()}
        self.book = book
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

        The respondents of all of them are locked, also those whom stored answers belonged to before
        (`former_respondents`). Other answers of the same people may stop or start being the latest; they are
        read here and written too, unless these are all that their `whole_respondents` gave.
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
        ledger = Ledger()
        count = 0
        hours: set[Hour] = set()
        moved: list[Answer] = []
        flipped: list[Answer] = []
        for answer, (was_counted, was_latest) in zip(involved, before, strict=True):
            stays, flips = answer.counted == was_counted, answer.latest != was_latest
            if stays and not flips:
                continue
            count += 1
            ledger.note(was_counted, was_latest, answer.counted, answer.latest)
            hours.update((answer.store, one.hour) for one in (was_counted, answer.counted) if one)
            if answer.stored and not answer.changed:
                (flipped if stays else moved).append(answer)
        await writing.insert_answers(db, [answer for answer in answers if not answer.stored])
        await writing.update_answers(db, [answer for answer in answers if answer.stored and answer.changed])
        await writing.move_answers(db, moved)
        await writing.flip_latest(db, flipped)
        await writing.add_rivals(db, answers)
        await buckets.add_to_buckets(db, ledger.deltas(), shard)
        await buckets.mark_series(db, ledger.series, shard)
        await mark_hours(db, hours, shard)
        return count

    async def misplaced(
        self, db: Connection, answers: list[Answer], spells: Mapping[Key, Spells]
    ) -> list[Answer]:
        """Answers that are stored as counting elsewhere than these rules count them. Writes nothing."""
        profiles = [self._profile(answer, spells) for answer in answers]
        series = {profile: self._series(profile) for profile in set(profiles) if profile}
        ids = await self.book.find_all(db, {one for several in series.values() for one in several})
        wrong = []
        for answer, profile in zip(answers, profiles, strict=True):
            expected = None
            if profile:
                there = tuple(sorted(ids.get(one, 0) for one in series[profile]))
                expected = self._contribution(answer, there)
            if answer.counted != expected:
                wrong.append(answer)
        return wrong

    async def _others(
        self, db: Connection, answers: list[Answer], new: AbstractSet[Key], former: AbstractSet[Key]
    ) -> list[Answer]:
        """The answers beside these that decide which is the latest of a respondent.

        Where all changes are new answers, the present latest is enough. Where a stored answer changed, it may
        have been the latest, and any other may take its place.
        """
        back, plain = set(former), set[Key]()
        for answer in answers:
            if answer.body and answer.body.respondent:
                key = (answer.store, answer.body.respondent)
                (back if answer.stored else plain).add(key)
        found = await store.standing_answers(db, back, only_latest=False)
        found += await store.standing_answers(db, plain - back - new, only_latest=True)
        mine = {(answer.store, answer.response_id) for answer in answers}
        return [answer for answer in found if (answer.store, answer.response_id) not in mine]

    def _profile(self, answer: Answer, spells: Mapping[Key, Spells]) -> Profile | None:
        """What decides the series of an answer, or None when it counts nowhere."""
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
            *rules.cuts.profile(body.segments, body.touchpoint, tier),
        )

    async def _series_of(self, db: Connection, profiles: set[Profile]) -> dict[Profile, tuple[int, ...]]:
        """The ids of the series of each profile, made where missing."""
        known = {profile: self._profiles[profile] for profile in profiles if profile in self._profiles}
        series = {profile: self._series(profile) for profile in profiles - known.keys()}
        if not series:
            return known
        ids = await self.book.ids(db, {one for several in series.values() for one in several})
        if len(self._profiles) > _MOST_PROFILES:
            self._profiles.clear()
        for profile, several in series.items():
            known[profile] = tuple(sorted(ids[one] for one in several))
            if self.book.knows(several):
                self._profiles[profile] = known[profile]
        return known

    def _series(self, profile: Profile) -> list[Series]:
        """The series that an answer of this profile counts in."""
        store, metric, scale, *values = profile
        cuts = self.stores[store].cuts.of(tuple(values))
        return [Series(store, metric, scale, cut.segment, cut.touchpoint) for cut in cuts]

    def _contribution(self, answer: Answer, series: tuple[int, ...]) -> Contribution:
        body, score = answer.body, answer.score
        if body is None or score is None:
            raise ValueError("an answer without a body counts nowhere")
        at = body.answered_at
        quarter = int(at.timestamp() // 900)
        day = self.stores[answer.store].day_of(at, quarter)
        return Contribution(series, day, _group_of(body.metric, body.scale, score), score, at, quarter // 4)
