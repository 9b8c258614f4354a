"""One customer's way through the demo shop: an order, its delivery, answers, perhaps a return."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from cli.demo.comments import Mood, Theme, comment
from cli.demo.people import Person

_JOURNEYS = {"purchase": 62, "support": 22, "relationship": 16}
_THEMES: dict[str, tuple[Theme, ...]] = {
    "post_purchase": (Theme.WEBSITE, Theme.PRICE),
    "post_delivery": (Theme.DELIVERY, Theme.DELIVERY, Theme.QUALITY, Theme.SIZING),
    "support": (Theme.SERVICE,),
    "return": (Theme.RETURNS,),
    "": (Theme.QUALITY, Theme.PRICE, Theme.SERVICE, Theme.DELIVERY),
}
# Shares of happy, neutral and unhappy answers, before the person's own mood.
_MOODS: dict[str, tuple[float, float, float]] = {
    "post_purchase": (0.62, 0.27, 0.11),
    "post_delivery": (0.58, 0.27, 0.15),
    "support": (0.52, 0.24, 0.24),
    "return": (0.42, 0.28, 0.30),
    "": (0.50, 0.32, 0.18),
}
_MOODS_IN_THE_BAD_WEEK = (0.10, 0.18, 0.72)
_SCORES: dict[str, dict[Mood, tuple[int, ...]]] = {
    "nps": {
        Mood.HAPPY: (9, 9, 10, 10, 10),
        Mood.NEUTRAL: (7, 8, 8),
        Mood.UNHAPPY: (0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 6),
    },
    "csat": {Mood.HAPPY: (4, 5, 5), Mood.NEUTRAL: (3,), Mood.UNHAPPY: (1, 2, 2)},
    "ces": {Mood.HAPPY: (5, 6, 7, 7), Mood.NEUTRAL: (4,), Mood.UNHAPPY: (1, 2, 3)},
}
_CHANNELS = ("email", "email", "web", "in_app", "sms", "link")


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a storefront. `public`: sent from a browser, with the public key."""

    at: datetime
    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    public: bool = False

    @property
    def is_answer(self) -> bool:
        return self.method == "POST" and self.path == "/v1/responses"


def written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


class Journey:
    """One customer's way through the shop; each step is a request.

    `bad`: on which days the courier fails.
    """

    def __init__(self, bad: Callable[[date], bool], rng: random.Random, name: str, start: datetime) -> None:
        self._bad = bad
        self._rng = rng
        self._name = name
        self._start = start

    def steps(self, person: Person) -> Iterator[Step]:
        match self._rng.choices(list(_JOURNEYS), list(_JOURNEYS.values()))[0]:
            case "purchase":
                yield from self._purchase(person)
            case "support":
                metric = "csat" if self._rng.random() < 0.4 else "nps"
                yield from self._answer(person, "support", self._start, metric=metric)
            case _:
                yield from self._answer(person, "", self._start)

    def _purchase(self, person: Person) -> Iterator[Step]:
        rng, order = self._rng, f"{self._name}-o"
        value = round(min(900.0, max(15.0, rng.lognormvariate(4.2, 0.5) * person.spends)), 2)
        yield Step(
            self._start,
            "POST",
            "/v1/orders",
            {
                "type": "placed",
                "id": order,
                "placed_at": written(self._start),
                "value": value,
                "currency": "EUR",
                "customer": person.customer,
            },
        )
        about = {"id": order, "value": value, "currency": "EUR"}
        if rng.random() < 0.35:
            later = self._start + timedelta(minutes=rng.randint(1, 20))
            yield from self._answer(person, "post_purchase", later, order=about)
        delivered = self._start + timedelta(days=rng.randint(1, 4), hours=rng.randint(-3, 6))
        bad = person.country == "DE" and self._bad(delivered.date())
        body = {"type": "delivered", "id": order, "delivered_at": written(delivered)}
        yield Step(delivered, "POST", "/v1/orders", body)
        if rng.random() < (0.8 if bad else 0.55):
            later = delivered + timedelta(hours=rng.randint(2, 30))
            yield from self._answer(person, "post_delivery", later, order=about, bad=bad)
        if rng.random() < 0.06:
            yield from self._return(person, order, delivered + timedelta(days=rng.randint(3, 9)), value)
        elif rng.random() < 0.08:
            at = delivered + timedelta(days=rng.randint(1, 6))
            kind = rng.choice(("review", "review", "app_install", "event", "referral"))
            did: dict[str, Any] = {"id": f"{order}-e", "kind": kind, "engaged_at": written(at)}
            yield Step(at, "POST", "/v1/engagements", {**did, "customer": person.customer})

    def _return(self, person: Person, order: str, at: datetime, value: float) -> Iterator[Step]:
        amount = value if self._rng.random() < 0.6 else round(value / 2, 2)
        yield Step(
            at,
            "POST",
            "/v1/orders",
            {
                "type": "refunded",
                "id": order,
                "refund_id": f"{order}-r",
                "refunded_at": written(at),
                "amount": amount,
                "currency": "EUR",
            },
        )
        metric = "ces" if self._rng.random() < 0.7 else "nps"
        later = at + timedelta(hours=self._rng.randint(1, 20))
        yield from self._answer(person, "return", later, metric=metric)

    def _answer(
        self,
        person: Person,
        touchpoint: str,
        at: datetime,
        *,
        metric: str = "nps",
        order: dict[str, Any] | None = None,
        bad: bool = False,
    ) -> Iterator[Step]:
        rng = self._rng
        mood = self._mood(person, touchpoint, bad=bad)
        theme = Theme.COURIER_TROUBLE if bad else rng.choice(_THEMES[touchpoint])
        response_id = f"{self._name}-{touchpoint or 'nps'}"
        body: dict[str, Any] = {
            "response_id": response_id,
            "metric": metric,
            "score": rng.choice(_SCORES[metric][mood]),
            "channel": rng.choice(_CHANNELS),
            "answered_at": written(at),
            "locale": person.locale,
            "segments": {"country": person.country},
        }
        if rng.random() < 0.96:
            body["segments"]["product_line"] = person.product_line
        if touchpoint:
            body["touchpoint"] = touchpoint
        if rng.random() < 0.95:
            body["customer"] = person.customer
        if order:
            body["order"] = order
        if rng.random() < 0.5:
            body["answers"] = [{"question": "reason", "value": str(theme)}]
        words = (
            comment(rng, theme, mood, language=person.language if rng.random() < 0.6 else "en")
            if rng.random() < (0.8 if mood is Mood.UNHAPPY else 0.5)
            else None
        )
        later = None
        if words and rng.random() < 0.12:
            # The widget sends the score at once, and the comment when it is written.
            body["complete"] = False
            later = {"comment": words, "complete": True}
        elif words:
            body["comment"] = words
        yield Step(at, "POST", "/v1/responses", body)
        if later:
            yield Step(
                at + timedelta(seconds=rng.randint(8, 50)), "PATCH", f"/v1/responses/{response_id}", later
            )
        elif rng.random() < 0.005:
            yield Step(at + timedelta(minutes=rng.randint(2, 90)), "DELETE", f"/v1/responses/{response_id}")

    def _mood(self, person: Person, touchpoint: str, *, bad: bool) -> Mood:
        happy, neutral, unhappy = _MOODS_IN_THE_BAD_WEEK if bad else _MOODS[touchpoint]
        shift = 0.0 if bad else min(max(person.mood, -unhappy), unhappy * 0.8)
        weights = (max(0.02, happy + shift), neutral, max(0.02, unhappy - shift))
        return self._rng.choices(tuple(Mood), weights)[0]
