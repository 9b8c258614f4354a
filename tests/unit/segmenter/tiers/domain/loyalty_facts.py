"""Facts about one customer, and how they are folded."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.segmenter.tiers.domain.loyalty import fold
from services.segmenter.tiers.domain.programme import EngagementKind, Programme
from services.segmenter.tiers.domain.standing import Standing
from services.segmenter.tiers.domain.timeline import Engagement, Fact, Order, Refund
from shared.feedback import local_day

ZONE = ZoneInfo("Europe/Amsterdam")
PROGRAMME = Programme(currency="EUR", version="2026-01")


def at(day: str, hour: int = 12) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), ZONE) + timedelta(hours=hour)


def spend(day: str, euros: int, *, name: str = "", cents: int = 0, currency: str = "EUR") -> Order:
    return Order(name or f"o-{day}", at(day), euros * 100 + cents, currency)


def refund(day: str, order: str, euros: int, name: str = "r-1") -> Refund:
    return Refund(name, order, at(day), euros * 100)


def engage(kind: EngagementKind, day: str, name: str = "e-1") -> Engagement:
    return Engagement(name, kind, at(day))


def standing(facts: list[Fact], day: str, programme: Programme = PROGRAMME) -> Standing:
    return fold(facts, programme, ZONE, at(day))


def story(facts: list[Fact], until: str, programme: Programme = PROGRAMME) -> list[tuple[str, int, str, str]]:
    """(local day, points, from -> to, reason) of every transition."""
    return [
        (local_day(t.at, ZONE).isoformat(), t.points, f"{t.from_tier} -> {t.to_tier}", t.reason.value)
        for t in standing(facts, until, programme).history
    ]


def grace_end(found: Standing) -> str | None:
    return local_day(found.grace_until, ZONE).isoformat() if found.grace_until else None
