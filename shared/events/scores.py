"""Rolling scores as they move. Key: store, metric, policy, segment, touchpoint, window."""

from datetime import datetime
from typing import ClassVar

from shared.events import topics
from shared.events.model import Event, Part


class Figure(Part):
    """Counts and what follows from them. `hidden`: why they are not said; they are None then."""

    n: int | None = None
    promoters: int | None = None
    passives: int | None = None
    detractors: int | None = None
    score: float | None = None
    margin: float | None = None
    ci95: tuple[float, float] | None = None
    confidence: str = "suppressed"
    band: str | None = None
    mean: float | None = None
    hidden: str | None = None


class ScoreChanged(Event):
    """A displayed figure of one score changed, by an answer or by time. Lower `seq`: old news."""

    type: ClassVar = "score.changed.v1"
    topic: ClassVar = topics.SCORES

    metric: str
    policy: str
    segment: str = ""
    touchpoint: str = ""
    window: str
    seq: int
    as_of: datetime
    figure: Figure
    previous: Figure | None = None

    def subject(self) -> tuple[str, ...]:
        return (self.metric, self.policy, self.segment, self.touchpoint, self.window)
