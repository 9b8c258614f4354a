"""The fold jumps between dates; this plods through every midnight and recounts from scratch each time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.tiers.domain.loyalty import fold
from services.segmenter.tiers.domain.programme import EngagementKind, NpsEffect, Programme, Tier
from services.segmenter.tiers.domain.timeline import Case, Engagement, Fact, Order, Override, Refund
from shared.feedback import local_day, start_of_day

Line = tuple[datetime, str, str, int, str]
START = datetime(2026, 3, 1, 9, 15, tzinfo=UTC)
# Facts fall on the quarter, overrides end on the hour: test_domain_loyalty has the ones that meet.
SHORT = Programme(
    currency="EUR",
    version="1",
    tiers=(Tier("A", 0, 0), Tier("B", 10, 7), Tier("C", 20, 15), Tier("D", 40, 30)),
    window_days=20,
    valid_days=15,
    grace_days=4,
    engagement_cap=6,
    engagement={EngagementKind.ANSWER: 2, EngagementKind.APP_INSTALL: 5},
    hold_after_close_days=3,
    hold_max_days=8,
)
PROGRAMMES = (
    SHORT,
    replace(SHORT, valid_days=30, nps_effect=NpsEffect.NONE),
    replace(SHORT, window_days=60, grace_days=0),
    replace(SHORT, grace_days=0, hold_max_days=0, hold_after_close_days=1),
)
ZONES = tuple(ZoneInfo(name) for name in ("Europe/Amsterdam", "Asia/Kolkata", "Africa/Cairo"))


class Plodder:
    """The rules read off the page, one after the other, with no state that could be recounted."""

    def __init__(self, facts: list[Fact], programme: Programme, zone: ZoneInfo) -> None:
        self.facts, self.programme, self.zone = facts, programme, zone
        self.tier = 0
        self.expires: date | None = None
        self.grace: date | None = None
        self.held = False
        self.given_by: dict[int, str] = {}
        self.shown_by: Override | None = None
        self.lines: list[Line] = []

    def points(self, now: datetime, *, without: Fact | None = None) -> int:
        today = local_day(now, self.zone)
        oldest = today - timedelta(days=self.programme.window_days)

        def counts(at: datetime) -> bool:
            return at <= now and oldest < local_day(at, self.zone) <= today

        spent = Decimal(0)
        for order in self.facts:
            if isinstance(order, Order) and order.currency == "EUR" and counts(order.at):
                back = sum(
                    r.amount_minor
                    for r in self.facts
                    if isinstance(r, Refund) and r.order_id == order.id and r.at <= now and r != without
                )
                spent += max(Decimal(0), order.value_minor - back)
        done = [f for f in self.facts if isinstance(f, Engagement)]
        installs = sorted((f.at, f.id) for f in done if f.kind is EngagementKind.APP_INSTALL)
        engaged = sum(
            self.programme.engagement[f.kind]
            for f in done
            if counts(f.at) and (f.kind is EngagementKind.ANSWER or (f.at, f.id) == installs[0])
        )
        return int(spent // 100) + min(engaged, self.programme.engagement_cap)

    def holds(self, now: datetime, today: date) -> bool:
        return (
            self.programme.nps_effect is NpsEffect.HOLD_ONLY
            and self.grace is not None
            and today < self.grace + timedelta(days=self.programme.hold_max_days)
            and any(
                case.detractor
                and case.opened_at <= now
                and (
                    case.closed_at is None
                    or case.closed_at > now
                    or today
                    < local_day(case.closed_at, self.zone)
                    + timedelta(days=self.programme.hold_after_close_days)
                )
                for case in self.facts
                if isinstance(case, Case)
            )
        )

    def visible(self) -> str:
        return self.shown_by.tier if self.shown_by else self.programme.tiers[self.tier].name

    def log(self, now: datetime, before: str, reason: str) -> None:
        if self.shown_by is None:
            self.lines.append((now, before, self.visible(), self.points(now), reason))

    def begin(self, now: datetime, tier: int, reason: str) -> None:
        before = self.visible()
        self.tier = tier
        valid = timedelta(days=self.programme.valid_days)
        self.expires = local_day(now, self.zone) + valid if tier else None
        self.grace, self.held = None, False
        self.given_by = {level: order for level, order in self.given_by.items() if level <= tier}
        if reason in ("renewal", "renewal_in_grace", "soft_landing"):
            self.given_by = {}
        self.log(now, before, reason)

    def midnight(self, now: datetime) -> None:
        today = local_day(now, self.zone)
        if self.tier and self.grace is None and self.expires is not None and today >= self.expires:
            if self.points(now) >= self.programme.tiers[self.tier].keep:
                self.begin(now, self.tier, "renewal")
            else:
                self.grace = today + timedelta(days=self.programme.grace_days)
                self.log(now, self.visible(), "grace")
        if self.tier and self.grace is not None and today >= self.grace:
            if not self.holds(now, today):
                self.begin(now, self.tier - 1, "soft_landing")
            elif not self.held:
                self.held = True
                self.log(now, self.visible(), "hold")

    def fact(self, now: datetime, fact: Fact) -> None:
        reached = self.programme.level_for(self.points(now))
        if isinstance(fact, Order | Engagement):
            if reached > self.tier:
                if isinstance(fact, Order):
                    self.given_by |= dict.fromkeys(range(self.tier + 1, reached + 1), fact.id)
                self.begin(now, reached, "upgrade")
            elif self.grace and self.points(now) >= self.programme.tiers[self.tier].keep:
                self.begin(now, self.tier, "renewal_in_grace")
        elif isinstance(fact, Refund) and self.given_by.get(self.tier) == fact.order_id:
            if not self.all_is_back(fact.order_id, now):
                points, keeps = self.points(now), [tier.keep for tier in self.programme.tiers]
                if self.points(now, without=fact) < keeps[self.tier] or points >= keeps[self.tier]:
                    return
                reached = max(level for level, keep in enumerate(keeps) if points >= keep)
            if reached < self.tier:
                self.begin(now, reached, "refund")
        elif isinstance(fact, Override):
            before, self.shown_by = self.visible(), None
            self.lines.append((now, before, fact.tier, self.points(now), "override"))
            self.shown_by = fact

    def all_is_back(self, order_id: str, now: datetime) -> bool:
        refunds = [f for f in self.facts if isinstance(f, Refund) and f.order_id == order_id and f.at <= now]
        orders = [f for f in self.facts if isinstance(f, Order) and f.id == order_id]
        return sum(refund.amount_minor for refund in refunds) >= orders[0].value_minor

    def end_override(self, now: datetime) -> None:
        if self.shown_by and now >= self.shown_by.until:
            before, self.shown_by = self.visible(), None
            self.log(now, before, "override_end")

    def run(self, until: datetime) -> list[Line]:
        overrides = [f for f in self.facts if isinstance(f, Override)]
        facts = [f for f in self.facts if not isinstance(f, Case)]
        first, last = local_day(START, self.zone), local_day(until, self.zone)
        midnights = {
            start_of_day(first + timedelta(days=n), self.zone) for n in range(1, (last - first).days + 1)
        }
        instants = midnights | {f.at for f in facts} | {o.until for o in overrides}
        for now in sorted(instant for instant in instants if instant <= until):
            self.end_override(now)
            if now in midnights:
                self.midnight(now)
            for fact in facts:
                if fact.at == now:
                    self.fact(now, fact)
        return self.lines


HOURS = 70 * 24


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Up to 14 facts over 70 days, each at an hour of its own; refunds also of orders still to come."""
    hours = draw(st.lists(st.integers(0, HOURS), min_size=1, max_size=14, unique=True))
    facts: list[Fact] = []
    for n, hour in enumerate(hours):
        at = START + timedelta(hours=hour)
        kind = draw(st.sampled_from(("order", "order", "order", "refund", "engage", "case", "override")))
        if kind == "order":
            currency = draw(st.sampled_from(("EUR",) * 9 + ("USD",)))
            facts.append(Order(f"o{n}", at, draw(st.integers(1, 2500)), currency))
        elif kind == "refund":
            order = f"o{draw(st.integers(0, len(hours) - 1))}"
            facts.append(Refund(f"r{n}", order, at, draw(st.integers(1, 2500))))
        elif kind == "engage":
            given = draw(st.sampled_from((EngagementKind.ANSWER, EngagementKind.APP_INSTALL)))
            facts.append(Engagement(f"e{n}", given, at))
        elif kind == "case":
            lasting = draw(st.none() | st.integers(0, 20 * 24))
            closed = None if lasting is None else at + timedelta(hours=lasting)
            facts.append(Case(f"c{n}", at, closed, draw(st.booleans())))
        else:
            ends = at + timedelta(hours=draw(st.integers(1, 20 * 24)), minutes=-15)
            facts.append(Override(draw(st.sampled_from("ABCD")), ends, "because", at, "m"))
    return facts


class TestFoldAgainstTheReference:
    @settings(max_examples=400, deadline=None)
    @given(histories(), st.sampled_from(PROGRAMMES), st.sampled_from(ZONES), st.integers(0, 120 * 24))
    def test_tells_the_same_story(
        self, facts: list[Fact], programme: Programme, zone: ZoneInfo, hours: int
    ) -> None:
        now = START + timedelta(hours=hours)
        expected = Plodder(facts, programme, zone)
        lines = expected.run(now)
        found = fold(facts, programme, zone, now)
        assert [(t.at, t.from_tier, t.to_tier, t.points, t.reason.value) for t in found.history] == lines
        assert found.tier == expected.visible()
        assert found.points == expected.points(now)

    @settings(max_examples=200, deadline=None)
    @given(histories(), st.sampled_from(PROGRAMMES), st.randoms(use_true_random=False))
    def test_any_permutation_gives_the_same_standing(
        self, facts: list[Fact], programme: Programme, random: Random
    ) -> None:
        now = START + timedelta(days=90)
        shuffled = [*facts, *facts]
        random.shuffle(shuffled)
        assert fold(shuffled, programme, ZONES[0], now) == fold(facts, programme, ZONES[0], now)

    @settings(max_examples=200, deadline=None)
    @given(histories(), st.sampled_from(PROGRAMMES), st.sampled_from(ZONES))
    def test_waking_at_each_next_check_misses_nothing(
        self, facts: list[Fact], programme: Programme, zone: ZoneInfo
    ) -> None:
        end = START + timedelta(days=120)
        now, seen, woken = START, [fold(facts, programme, zone, START)], {START}
        while (wake := seen[-1].next_check) is not None and wake <= end:
            assert wake > now
            now = wake
            woken.add(now)
            seen.append(fold(facts, programme, zone, now))
        story = fold(facts, programme, zone, end).history
        assert seen[-1].history == story
        assert {step.at for step in story} <= woken
