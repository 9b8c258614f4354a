"""What the shop does next: answers, and everything that may happen to one; orders, and some given back.

The plan comes from the seed; only its timing, and which answers were accepted meanwhile, do not.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

COUNTRIES = ("NL", "DE", "FR", "XX", None)
LINES = ("shoes", "bags", "hats", None)
TOUCHPOINTS = ("post_purchase", "post_delivery", "support", "shop_window", None)
ORDER_VALUES = (120, 300, 550, 900, 1800)
REFUNDED_VALUES = (600, 1600)
MOST_ORDERS = 6

FRESH = timedelta(hours=20)
"""An answer of this age opens a case; those that open none are older than 26 hours."""
AGES = (
    (0.62, timedelta(0), FRESH),
    (0.08, timedelta(hours=26), timedelta(days=6, hours=22)),
    (0.10, timedelta(days=7, hours=2), timedelta(days=29, hours=22)),
    (0.10, timedelta(days=30, hours=2), timedelta(days=89, hours=22)),
    (0.10, timedelta(days=90, hours=2), timedelta(days=290)),
)
"""(share, from, to): far from the edges of the windows, so that no edge is crossed while it runs."""

UNTIL_ACCEPTED = 0


@dataclass(frozen=True)
class Step:
    """One request. `about`: the id of the answer or the order; `patience`: attempts, 0 for all it takes."""

    name: str
    kind: str
    about: str
    method: str
    path: str
    body: Any
    patience: int = UNTIL_ACCEPTED


@dataclass
class Customer:
    id: str
    orders: int = 0
    gives_back: bool = False


@dataclass
class Traffic:
    """`next()` gives requests that are sent at once and may overtake one another."""

    seed: str
    began: datetime
    customers_per_step: float = 0.25
    _answers: list[tuple[str, Any]] = field(default_factory=list)
    _orders: list[Step] = field(default_factory=list)
    _customers: list[Customer] = field(default_factory=list)
    _times: set[datetime] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"traffic/{self.seed}")
        self._numbers = count(1)
        self._revisions = count(2)

    def accepted(self, step: Step) -> None:
        """From now on it may be repeated, contradicted, amended and retracted."""
        if step.kind == "answer":
            self._answers.append((step.about, step.body))
        elif step.kind == "order":
            self._orders.append(step)

    def next(self) -> list[Step]:
        actions = {
            self._new_answer: 58,
            self._answer_twice: 4,
            self._answer_overtaken: 4,
            self._impatient_answer: 4,
            self._repeat: 6,
            self._contradict: 4,
            self._amend: 7,
            self._retract: 3,
            self._order: 8,
            self._order_given_back: 2,
        }
        [action] = self._rng.choices(list(actions), list(actions.values()))
        return list(action())

    # -- answers

    def _new_answer(self) -> Iterator[Step]:
        yield self._answer(self._id("a"))

    def _impatient_answer(self) -> Iterator[Step]:
        """By a client that never comes back: nobody knows whether it counts."""
        yield self._answer(self._id("a"), patience=1)

    def _answer_twice(self) -> Iterator[Step]:
        """The same to two collectors at once."""
        answer = self._answer(self._id("a"))
        yield answer
        yield self._post("repeat", answer.about, answer.path, answer.body)

    def _answer_overtaken(self) -> Iterator[Step]:
        """An amendment or a retraction on its way together with its answer, in any order."""
        response_id = self._id("a")
        change = self._amendment(response_id) if self._rng.random() < 0.7 else self._retraction(response_id)
        steps = [self._answer(response_id), change]
        self._rng.shuffle(steps)
        yield from steps

    def _repeat(self) -> Iterator[Step]:
        """The same again, as a client does that lost the reply."""
        if self._orders and self._rng.random() < 0.2:
            order = self._rng.choice(self._orders)
            yield self._post("repeat", order.about, order.path, order.body)
        elif self._answers:
            response_id, body = self._rng.choice(self._answers)
            yield self._post("repeat", response_id, "/v1/responses", body)

    def _contradict(self) -> Iterator[Step]:
        """Another content under the id of an answer that was accepted: not counted."""
        if self._answers:
            response_id, body = self._rng.choice(self._answers)
            other = body | {"score": (body["score"] + self._rng.randint(1, 10)) % 11}
            yield self._post("rival", response_id, "/v1/responses", other)

    def _amend(self) -> Iterator[Step]:
        if self._answers:
            yield self._amendment(self._rng.choice(self._answers)[0])

    def _retract(self) -> Iterator[Step]:
        if self._answers:
            yield self._retraction(self._rng.choice(self._answers)[0])

    def _answer(self, response_id: str, patience: int = UNTIL_ACCEPTED) -> Step:
        rng = self._rng
        body: dict[str, Any] = {
            "response_id": response_id,
            "score": rng.choices(range(11), (2, 1, 1, 2, 2, 3, 4, 12, 18, 30, 25))[0],
            "answered_at": self._time(*self._age()).isoformat(),
            "segments": _without_none(country=rng.choice(COUNTRIES), product_line=rng.choice(LINES)),
        }
        body |= _without_none(touchpoint=rng.choice(TOUCHPOINTS))
        body |= self._respondent()
        if rng.random() < 0.03:
            body["test"] = True
        if rng.random() < 0.3:
            body["comment"] = f"As {response_id} says"
        return self._post("answer", response_id, "/v1/responses", body, patience)

    def _respondent(self) -> dict[str, Any]:
        luck = self._rng.random()
        if luck < 0.1:
            return {}
        who = {"customer": {"id": self._somebody().id}}
        return who | {"identity": "confidential"} if luck < 0.15 else who

    def _amendment(self, response_id: str) -> Step:
        changes: dict[str, Any] = {"revision": next(self._revisions)}
        if self._rng.random() < 0.7:
            changes["score"] = self._rng.randint(0, 10)
        else:
            changes["comment"] = "On second thoughts"
        path = f"/v1/responses/{response_id}"
        return Step(self._id("s"), "amendment", response_id, "PATCH", path, changes)

    def _retraction(self, response_id: str) -> Step:
        path = f"/v1/responses/{response_id}"
        return Step(self._id("s"), "retraction", response_id, "DELETE", path, None)

    # -- orders

    def _order(self) -> Iterator[Step]:
        customer = self._somebody()
        if not customer.gives_back and customer.orders < MOST_ORDERS:
            customer.orders += 1
            yield self._placed(customer, self._id("o"), self._rng.choice(ORDER_VALUES))

    def _order_given_back(self) -> Iterator[Step]:
        """A customer's only order, and its refund, in any order."""
        customer = self._newcomer()
        customer.gives_back = True
        order_id, value = self._id("o"), self._rng.choice(REFUNDED_VALUES)
        refunded_at = self._time(timedelta(0), timedelta(days=5))
        refund = {
            "type": "refunded",
            "id": order_id,
            "refund_id": "r-1",
            "refunded_at": refunded_at.isoformat(),
            "amount": value,
            "currency": "EUR",
        }
        steps = [
            self._placed(customer, order_id, value, at_least=timedelta(days=6)),
            self._post("refund", order_id, "/v1/orders", refund),
        ]
        self._rng.shuffle(steps)
        yield from steps

    def _placed(
        self, customer: Customer, order_id: str, value: int, at_least: timedelta = timedelta(0)
    ) -> Step:
        body = {
            "type": "placed",
            "id": order_id,
            "placed_at": self._time(at_least, timedelta(days=60)).isoformat(),
            "value": value,
            "currency": "EUR",
            "customer": {"id": customer.id},
        }
        return self._post("order", order_id, "/v1/orders", body)

    # -- people, times, ids

    def _somebody(self) -> Customer:
        """A newcomer now and then, else one of those who were here before."""
        if not self._customers or self._rng.random() < self.customers_per_step:
            return self._newcomer()
        return self._rng.choice(self._customers)

    def _newcomer(self) -> Customer:
        self._customers.append(Customer(self._id("c")))
        return self._customers[-1]

    def _age(self) -> tuple[timedelta, timedelta]:
        [(_, least, most)] = self._rng.choices(AGES, [share for share, _, _ in AGES])
        return least, most

    def _time(self, least: timedelta, most: timedelta) -> datetime:
        """A moment before the beginning at which nothing else happens."""
        while True:
            seconds = self._rng.uniform(least.total_seconds(), most.total_seconds())
            at = self.began - timedelta(seconds=seconds)
            if at not in self._times:
                self._times.add(at)
                return at

    def _id(self, kind: str) -> str:
        return f"{kind}-{self.seed}-{next(self._numbers)}"

    def _post(self, kind: str, about: str, path: str, body: Any, patience: int = UNTIL_ACCEPTED) -> Step:
        return Step(self._id("s"), kind, about, "POST", path, body, patience)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
