"""Points over the last `window_days`: net spend, and engagement up to its cap."""

from __future__ import annotations

from collections import deque
from datetime import date, timedelta

from services.segmenter.tiers.domain.programme import EngagementKind, Programme
from services.segmenter.tiers.domain.timeline import Engagement, Minor, Order, Refund


class PointsWindow:
    """The sum over the local days (day - window_days, day], moved forward in time only.

    Spend is added up exactly and cut once, downwards: two orders of 0.50 are one point, one of 499.9999 gives
    499. A refund counts at its order's day and never takes more than that order: points never fall below 0,
    and they rise only through a fact. An order in another currency than the programme's counts nothing.
    """

    __slots__ = ("_engaged", "_leaving", "_net", "_once", "_programme", "_refunded", "_spent", "_values")

    def __init__(self, programme: Programme) -> None:
        self._programme = programme
        self._leaving: deque[tuple[date, str | int]] = deque()  # (day, order id or engagement points)
        self._net: dict[str, Minor] = {}  # orders inside the window
        self._values: dict[str, Minor] = {}  # every order
        self._refunded: dict[str, Minor] = {}
        self._once: set[EngagementKind] = set()
        self._spent: Minor = 0
        self._engaged = 0

    @property
    def points(self) -> int:
        spent = int(self._spent // self._programme.minor_per_point)
        return spent + min(self._engaged, self._programme.engagement_cap)

    def move_to(self, day: date) -> None:
        """Let go of everything dated `day - window_days` or earlier."""
        oldest = day - timedelta(days=self._programme.window_days)
        while self._leaving and self._leaving[0][0] <= oldest:
            _, left = self._leaving.popleft()
            if isinstance(left, str):
                self._spent -= self._net.pop(left)
            else:
                self._engaged -= left

    def order(self, order: Order, day: date) -> None:
        if order.currency != self._programme.currency:
            return
        net = max(0, order.value_minor - self._refunded.get(order.id, 0))
        self._values[order.id] = order.value_minor
        self._net[order.id] = net
        self._spent += net
        self._leaving.append((day, order.id))

    def refund(self, refund: Refund) -> None:
        self._refunded[refund.order_id] = self._refunded.get(refund.order_id, 0) + refund.amount_minor
        if (before := self._net.get(refund.order_id)) is not None:
            after = max(0, before - refund.amount_minor)
            self._net[refund.order_id] = after
            self._spent -= before - after

    def wholly_refunded(self, order_id: str) -> bool:
        """Whether nothing is left of an order, in the window or not."""
        return self._refunded.get(order_id, 0) >= self._values.get(order_id, 0)

    def engage(self, engagement: Engagement, day: date) -> None:
        kind = engagement.kind
        if kind in self._programme.once:
            if kind in self._once:
                return
            self._once.add(kind)
        worth = self._programme.engagement.get(kind, 0)
        self._engaged += worth
        self._leaving.append((day, worth))
