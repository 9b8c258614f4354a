"""A lane for each channel of each store: what it can send now, whatever happens to the other channels."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from services.notifier.channels.http import Attempt
from services.notifier.channels.message import Shop
from services.notifier.channels.outlets import Outlet, Outlets
from services.notifier.deliveries.claims import Quiet
from services.notifier.deliveries.retries import Breaker, delay_after
from services.notifier.deliveries.settings import Channel
from services.notifier.deliveries.store import State, Target
from shared.ops import metrics


class Lane:
    """One channel of one store: its outlet, its breaker, its quiet hours, and how much is on its way."""

    def __init__(
        self, target: Target, channel: Channel, outlet: Outlet, zone: ZoneInfo, *, retry_scale: float
    ) -> None:
        self.target = target
        self.outlet = outlet
        self.kind = channel.kind
        self.singles = channel.single_alerts
        self.busy = 0
        self._channel = channel
        self._zone = zone
        self._scale = retry_scale
        self._breaker = Breaker(first_seconds=30 * retry_scale, longest_seconds=300 * retry_scale)
        self._failing = False

    def free(self, now: float) -> int:
        """How many more deliveries may be on their way."""
        return self._breaker.free(now, in_flight=self.busy, most=self.outlet.most)

    def opens_in(self, now: float) -> float:
        """Seconds until a paused lane tries again; 0 for one that is not paused."""
        return self._breaker.opens_in(now)

    def state(self, now: float) -> str:
        if self._breaker.opens_in(now):
            return "paused"
        return "failing" if self._failing else "healthy"

    def quiet(self, at: datetime) -> Quiet | None:
        """The quiet hours that hold now; None outside of them."""
        hours = self._channel.quiet_hours
        until = hours.until(at, self._zone) if hours else None
        return Quiet(self.target, until, self._channel.quiet_urgent) if until else None

    def result_of(self, attempt: Attempt, number: int, now: float) -> tuple[State, float]:
        """The state of a delivery after its `number`th attempt, and the seconds until the next attempt."""
        if attempt.accepted:
            self._failing = False
            self._breaker.success()
            return State.SENT, 0.0
        if attempt.final:  # it says something about the message, not about the receiver
            return State.DEAD, 0.0
        self._failing = True
        self._breaker.failure(now)
        if attempt.retry_after_seconds:
            self._breaker.hold(now, attempt.retry_after_seconds)
        wait = delay_after(
            number,
            luck=random.random(),
            retry_after_seconds=attempt.retry_after_seconds,
            scale=self._scale,
        )
        return (State.DEAD, 0.0) if wait is None else (State.PENDING, wait)


class Lanes(Mapping[Target, Lane]):
    """The lanes of all channels that are on."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._lanes = {lane.target: lane for lane in lanes}

    def __getitem__(self, target: Target) -> Lane:
        return self._lanes[target]

    def __iter__(self) -> Iterator[Target]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)

    def free(self, now: float) -> dict[Target, int]:
        """How many more deliveries each lane can send, in a random order, so that none is always last."""
        lanes = random.sample(list(self._lanes.values()), len(self._lanes))
        return {lane.target: free for lane in lanes if (free := lane.free(now)) > 0}

    def quiet(self) -> list[Quiet]:
        at = datetime.now(UTC)
        return [quiet for lane in self._lanes.values() if (quiet := lane.quiet(at))]

    def soonest_opening(self, now: float) -> float | None:
        """Seconds until the first of the paused lanes tries again; None when none is paused."""
        return min((wait for lane in self._lanes.values() if (wait := lane.opens_in(now))), default=None)

    def show_states(self, now: float) -> None:
        """Show how many channels of each kind are in which state, as metrics."""
        counted = Counter((lane.kind, lane.state(now)) for lane in self._lanes.values())
        for kind in {lane.kind for lane in self._lanes.values()}:
            for state in ("healthy", "failing", "paused"):
                metrics.CHANNELS.labels(kind, state).set(counted[kind, state])


def lanes_of(
    channels: Mapping[Target, Channel], outlets: Outlets, shops: Mapping[str, Shop], *, retry_scale: float
) -> Lanes:
    """A lane for each channel that is on."""
    return Lanes(
        Lane(target, channel, outlets[target], shops[target[0]].zone, retry_scale=retry_scale)
        for target, channel in channels.items()
    )
