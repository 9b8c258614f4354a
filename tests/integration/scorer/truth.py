"""What the scores must be, told by a few lines that share no code with the product."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.events.customers import CustomerChanged
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from tests.integration.scorer.builders import Sent

GROUPS = {
    ("nps", "0-10"): lambda score: 1 if score >= 9 else 0 if score >= 7 else -1,
    ("csat", "1-5"): lambda score: 1 if score >= 4 else 0 if score == 3 else -1,
    ("csat", "1-7"): lambda score: 1 if score >= 6 else 0 if score >= 4 else -1,
    ("ces", "1-7"): lambda score: 1 if score >= 5 else 0 if score == 4 else -1,
    ("ces", "1-5-effort"): lambda score: 1 if score <= 2 else 0 if score == 3 else -1,
}
RANGES = {
    "0-10": range(11),
    "1-5": range(1, 6),
    "1-7": range(1, 8),
    "1-5-effort": range(1, 6),
}


@dataclass(frozen=True)
class Told:
    """One answer that counts."""

    name: str
    metric: tuple[str, str]
    score: int
    at: datetime
    who: str
    cuts: frozenset[tuple[str, str]]
    confidential: bool

    @property
    def group(self) -> int:
        return GROUPS[self.metric](self.score)


class Truth:
    """Everything that was sent, in whatever order."""

    def __init__(self, events: Iterable[Sent], rules: Mapping[str, Any]) -> None:
        self._rules = rules
        self._tiers: dict[str, CustomerChanged] = {}
        by_id: dict[str, list[Sent]] = {}
        for sent in events:
            if isinstance(sent.event, CustomerChanged):
                known = self._tiers.get(sent.event.customer_ref)
                if known is None or known.seq < sent.event.seq:
                    self._tiers[sent.event.customer_ref] = sent.event
            else:
                by_id.setdefault(sent.event.response_id, []).append(sent)  # type: ignore[attr-defined]
        self.answers = [told for name, sent in by_id.items() if (told := self._told(name, sent))]
        self.zone = ZoneInfo(rules.get("timezone", "UTC"))

    def _told(self, name: str, sent: Sequence[Sent]) -> Told | None:
        bodies = [s for s in sent if isinstance(s.event, ResponseSubmitted)]
        if not bodies or any(isinstance(s.event, ResponseRetracted) for s in sent):
            return None
        body: ResponseSubmitted = min(bodies, key=lambda s: s.ce_id).event  # type: ignore[assignment]
        if body.test:
            return None
        possible = [
            (s.event.revision, s.ce_id, s.event.score)
            for s in sent
            if isinstance(s.event, ResponseAmended)
            and s.event.score in RANGES[body.scale]
            and s.event.fingerprint in (None, body.fingerprint)
            and s.event.metric in (None, body.metric)
        ]
        score = max(possible)[2] if possible else body.score
        assert score is not None
        known = body.customer is not None and body.identity != "anonymous"
        who = body.customer.ref if known and body.customer else f"nobody but {name}"
        if known and not body.verified:
            who = f"somebody who says to be {who}"
        return Told(
            name,
            (body.metric, body.scale),
            score,
            body.answered_at,
            who,
            frozenset(self._cuts(body, who)),
            body.identity == "confidential",
        )

    def _cuts(self, body: ResponseSubmitted, who: str) -> list[tuple[str, str]]:
        spells = self._tiers[who].history if who in self._tiers else ()
        before = [spell.tier for spell in spells if spell.since < body.answered_at]
        values = {"tier": before[-1] if before else "unknown"}
        for name, segment in self._rules.get("segments", {}).items():
            value = body.segments.get(name, "unknown")
            allowed = segment.get("values")
            values[name] = value if allowed is None or value in allowed or value == "unknown" else "other"
        touchpoint = body.touchpoint or "unknown"
        if touchpoint != "unknown" and touchpoint not in self._rules.get("touchpoints", ()):
            touchpoint = "other"
        cuts = [("", ""), ("", touchpoint), *((f"{name}:{value}", "") for name, value in values.items())]
        for combination in self._rules.get("combinations", ()):
            names = sorted(set(combination) - {"touchpoint"})
            segment = ",".join(f"{name}:{values[name]}" for name in names)
            cuts.append((segment, touchpoint if "touchpoint" in combination else ""))
        return cuts

    def counts(
        self,
        as_of: datetime,
        days: int,
        *,
        policy: str = "all",
        segment: str = "",
        touchpoint: str = "",
        metric: tuple[str, str] = ("nps", "0-10"),
    ) -> tuple[int, int, int]:
        """(promoters, passives, detractors)"""
        inside = self._inside(as_of, days, policy, metric)
        groups = Counter(a.group for a in inside if (segment, touchpoint) in a.cuts)
        return groups[1], groups[0], groups[-1]

    def confidential(
        self,
        as_of: datetime,
        days: int,
        *,
        policy: str = "all",
        segment: str = "",
        touchpoint: str = "",
        metric: tuple[str, str] = ("nps", "0-10"),
    ) -> int:
        """How many of those are confidential, where so few answers are hidden for it; else 0."""
        inside = self._inside(as_of, days, policy, metric)
        counted = [a for a in inside if (segment, touchpoint) in a.cuts]
        return sum(a.confidential for a in counted) if len(counted) < 5 else 0

    def _inside(self, as_of: datetime, days: int, policy: str, metric: tuple[str, str]) -> list[Told]:
        after = as_of - timedelta(days=days)
        inside = [a for a in self.answers if after < a.at <= as_of and a.metric == metric]
        return _last(inside) if policy == "latest" else inside

    def buckets(self) -> dict[tuple[Any, ...], tuple[int, ...]]:
        """As `Shop.buckets`. A confidential answer is counted a second time, beside all of its scale."""
        found: dict[tuple[Any, ...], list[int]] = {}
        last = {
            a.name
            for metric in {a.metric for a in self.answers}
            for a in _last([b for b in self.answers if b.metric == metric])
        }
        for a in self.answers:
            metric, scale = a.metric
            scales = (scale, f"{scale} confidential") if a.confidential else (scale,)
            for segment, touchpoint in a.cuts:
                day = a.at.astimezone(self.zone).date()
                for counted_on in scales:
                    sums = found.setdefault((metric, counted_on, segment, touchpoint, day), [0] * 8)
                    for offset in (0, 4) if a.name in last else (0,):
                        sums[offset + a.group + 1] += 1
                        sums[offset + 3] += a.score
        return {key: tuple(sums) for key, sums in found.items()}


def _last(answers: list[Told]) -> list[Told]:
    last: dict[str, Told] = {}
    for a in answers:
        if a.who not in last or (last[a.who].at, last[a.who].name) < (a.at, a.name):
            last[a.who] = a
    return list(last.values())
