"""What happens in the demo shop: orders, deliveries, answers, and one bad week."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from cli.demo.journeys import Journey, Step, written
from cli.demo.people import Person, people

# Monday to Sunday, and the hours in which people shop.
_WEEKDAYS = (1.15, 1.0, 0.95, 1.0, 1.05, 0.9, 0.95)
_HOURS = (1, 1, 0, 0, 0, 1, 3, 6, 9, 11, 12, 12, 13, 11, 10, 10, 11, 12, 14, 17, 19, 17, 10, 4)


class Shop:
    """A world that is the same for the same seed and first day; every id in it starts with those two."""

    def __init__(self, seed: int, began: date) -> None:
        self._seed = seed
        self._began = began
        self._people = people(seed)
        self._visits = [person.visits for person in self._people]

    def in_bad_week(self, day: date) -> bool:
        """The week in which the courier fails in Germany: it ended a few days before the demo began."""
        return timedelta(days=5) <= self._began - day < timedelta(days=12)

    def history(self, first: date, until: datetime, answers_a_day: float) -> list[Step]:
        """Everything from the first day's start up to the moment, in the order in which it happened."""
        steps: list[Step] = []
        day = first
        while day <= until.date():
            steps += self._day(day, answers_a_day)
            day += timedelta(days=1)
        return sorted((step for step in steps if step.at <= until), key=lambda step: step.at)

    def visit(self, rng: random.Random, name: str, now: datetime) -> Iterator[Step]:
        """One journey whose last answer is given now; what led to it lies in the past."""
        steps = list(Journey(self.in_bad_week, rng, f"demo-{name}", now).steps(self._somebody(rng)))
        shift = now - max((step.at for step in steps if step.is_answer), default=steps[-1].at)
        for step in sorted(steps, key=lambda step: step.at):
            at = step.at + shift
            if at > now and step.method == "POST":
                return  # has not happened yet
            body = {key: _moved(value, shift) for key, value in step.body.items()}
            if step.is_answer and at == now and rng.random() < 0.1:
                # From a browser: the server sets the time and the id, so nothing can follow.
                for field_of_servers in ("answered_at", "order", "response_id"):
                    body.pop(field_of_servers, None)
                yield Step(now, step.method, step.path, body, public=True)
                return
            yield Step(max(at, now), step.method, step.path, body)

    def _day(self, day: date, answers_a_day: float) -> Iterator[Step]:
        rng = random.Random(f"{self._seed}/{self._began}/{day}")
        # A journey leads to about one answer; the shop grows by a half in 120 days.
        growth = 1 - max(0, (self._began - day).days) / 360
        for number in range(round(answers_a_day * growth * _WEEKDAYS[day.weekday()])):
            moment = datetime.combine(
                day,
                time(rng.choices(range(24), _HOURS)[0], rng.randrange(60), rng.randrange(60)),
                tzinfo=UTC,
            )
            name = f"demo-{self._seed}-{self._began:%y%m%d}-{day:%y%m%d}-{number}"
            yield from Journey(self.in_bad_week, rng, name, moment).steps(self._somebody(rng))

    def _somebody(self, rng: random.Random) -> Person:
        return rng.choices(self._people, self._visits)[0]


def _moved(value: Any, shift: timedelta) -> Any:
    """Times of a body, which are strings with an offset, moved along."""
    if isinstance(value, str) and len(value) == len("2026-11-22T10:00:00+00:00") and value.endswith("+00:00"):
        return written(datetime.fromisoformat(value) + shift)
    return value
