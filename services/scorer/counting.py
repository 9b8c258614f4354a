"""Where answers count now, where they counted before, and the difference to the buckets."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from services.scorer.domain import Answer, Contribution, Cuts, Ledger, settle_latest, tier_before
from services.scorer.store import answers as store
from services.scorer.store.answers import Connection, Key, Spells
from services.scorer.store.series import Series, SeriesBook
from shared.config import Config, Store
from shared.feedback.metrics import scale_for
from shared.feedback.windows import local_day

_MOST_PROFILES = 50_000

Profile: TypeAlias = tuple[str, ...]
"""Store, metric, scale, and the values that decide the cuts: answers of one profile share their series."""


class StoreRules:
    """One store as counting needs it."""

    def __init__(self, config: Store) -> None:
        self.config = config
        self.zone = config.zone
        self.cuts = Cuts(
            {
                name: frozenset(segment.values) if segment.values is not None else None
                for name, segment in config.segments.items()
            },
            frozenset(config.touchpoints),
            config.combinations,
        )


class Counting:
    """The rules of every store, and the ids of the series that answers count in."""

    def __init__(self, config: Config, book: SeriesBook) -> None:
        self.stores = {name: StoreRules(store) for name, store in config.stores.items()}
        self.book = book
        self._profiles: dict[Profile, tuple[int, ...]] = {}
        self._fresh_profiles: dict[Profile, tuple[int, ...]] = {}

    def begin(self) -> None:
        """Call it first in every transaction."""
        self.book.begin()
        self._fresh_profiles = {}

    def committed(self) -> None:
        """Call it when the transaction committed."""
        self.book.committed()
        if len(self._profiles) > _MOST_PROFILES:
            self._profiles.clear()
        self._profiles.update(self._fresh_profiles)
        self._fresh_profiles = {}

    async def recount(
        self,
        db: Connection,
        changed: list[Answer],
        *,
        spells: Mapping[Key, Spells],
        new_respondents: AbstractSet[Key] = frozenset(),
        former_respondents: AbstractSet[Key] = frozenset(),
        shard: int,
    ) -> int:
        """Write the changed answers and move the buckets; returns how many answers count differently.

        The respondents of all of them are locked, also those whom stored answers belonged to before
        (`former_respondents`). Other answers of the same people may stop or start being the latest; they are
        read here and written too.
        """
        others = await self._others(db, changed, new_respondents, former_respondents)
        involved = [*changed, *others]
        before = [(answer.counted, answer.latest) for answer in involved]
        profiles = [self._profile(answer, spells) for answer in changed]
        await self._know(db, {profile for profile in profiles if profile})
        for answer, profile in zip(changed, profiles, strict=True):
            series = self._profiles.get(profile) or self._fresh_profiles[profile] if profile else None
            answer.counted = self._contribution(answer, series) if series else None
        settle_latest(involved)
        ledger = Ledger()
        moved = []
        for answer, (was_counted, was_latest) in zip(involved, before, strict=True):
            if answer.counted != was_counted or answer.latest != was_latest:
                ledger.note(was_counted, was_latest, answer.counted, answer.latest)
                moved.append(answer)
        touched = {id(answer): answer for answer in [*changed, *moved]}.values()
        if fresh := [answer for answer in touched if not answer.stored]:
            await store.insert_answers(db, fresh)
        await store.update_answers(db, [answer for answer in touched if answer.stored])
        await store.add_rivals(db, changed)
        await store.add_to_buckets(db, ledger.deltas(), shard)
        return len(moved)

    async def misplaced(
        self, db: Connection, answers: list[Answer], spells: Mapping[Key, Spells]
    ) -> list[Answer]:
        """Answers that are stored as counting elsewhere than these rules count them. Writes nothing."""
        profiles = [self._profile(answer, spells) for answer in answers]
        series = {profile: self._series(profile) for profile in set(profiles) if profile}
        ids = await self.book.find_all(db, [one for several in series.values() for one in several])
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
        self, db: Connection, changed: list[Answer], new: AbstractSet[Key], former: AbstractSet[Key]
    ) -> list[Answer]:
        """The answers beside the changed ones that decide which is the latest of a respondent.

        Where all changes are new answers, the present latest is enough. Where a stored answer changed, it may
        have been the latest, and any other may take its place.
        """
        back, plain = set(former), set[Key]()
        for answer in changed:
            if answer.body and answer.body.respondent:
                key = (answer.store, answer.body.respondent)
                (back if answer.stored else plain).add(key)
        found = await store.answers_of(db, back, only_latest=False)
        found += await store.answers_of(db, plain - back - new, only_latest=True)
        mine = {(answer.store, answer.response_id) for answer in changed}
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

    async def _know(self, db: Connection, profiles: set[Profile]) -> None:
        """Look up, or make, the series of profiles that were not seen before."""
        unknown = [p for p in profiles if p not in self._profiles and p not in self._fresh_profiles]
        if not unknown:
            return
        series = {profile: self._series(profile) for profile in unknown}
        ids = await self.book.ids(db, [one for several in series.values() for one in several])
        for profile, several in series.items():
            self._fresh_profiles[profile] = tuple(sorted(ids[one] for one in several))

    def _series(self, profile: Profile) -> list[Series]:
        """The series that an answer of this profile counts in."""
        store, metric, scale, *values = profile
        cuts = self.stores[store].cuts.of(tuple(values))
        return [Series(store, metric, scale, cut.segment, cut.touchpoint) for cut in cuts]

    def _contribution(self, answer: Answer, series: tuple[int, ...]) -> Contribution:
        body, score = answer.body, answer.score
        if body is None or score is None:
            raise ValueError("an answer without a body counts nowhere")
        day = local_day(body.answered_at, self.stores[answer.store].zone)
        return Contribution(series, day, scale_for(body.metric, body.scale).group_of(score), score)
