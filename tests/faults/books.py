"""What the product has to say, worked out from the ledger alone by other means than the product's.

Nothing here knows of batches, buckets or arrival: it looks at the whole ledger at the end.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.ledger import lines
from tests.faults.traffic import FRESH

TIERS = (("Bronze", 0), ("Silver", 500), ("Gold", 1500), ("Platinum", 4000))
POINTS_OF_AN_ANSWER, MOST_FOR_ANSWERS = 20, 300
COUNTRIES, LINES = {"NL", "DE", "FR"}, {"shoes", "bags"}
TOUCHPOINTS = {"post_purchase", "post_delivery", "support"}
WINDOWS = {name: timedelta(days=int(name[:-1])) for name in ("7d", "30d", "90d", "365d")}

Series = tuple[str, str]
"""(segment, touchpoint) as the API names them."""
Counts = tuple[int, int, int]
"""(promoters, passives, detractors)."""


@dataclass
class Answer:
    """One response id with all that was accepted about it."""

    id: str
    body: dict[str, Any]
    outcome: str
    """Of the answer itself: ok, or unknown."""
    amended: dict[int, int] = field(default_factory=dict)
    """Score by revision."""
    retracted: bool = False

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.body["answered_at"])

    @property
    def score(self) -> int:
        return self.amended[max(self.amended)] if self.amended else int(self.body["score"])

    @property
    def customer(self) -> str | None:
        return self.body["customer"]["id"] if "customer" in self.body else None

    @property
    def identified(self) -> bool:
        return self.customer is not None and "identity" not in self.body

    @property
    def respondent(self) -> str:
        """Nobody else answers as an anonymous one."""
        return f"customer {self.customer}" if self.customer else f"answer {self.id}"

    @property
    def counts(self) -> bool:
        return not self.retracted and not self.body.get("test")

    @property
    def was_low(self) -> bool:
        """By any revision of the body that counts that was ever accepted."""
        return min([self.body["score"], *self.amended.values()]) <= 6


@dataclass
class Books:
    """The ledger, read. `answers` holds those that count as accepted: told so, or unknown and in the log."""

    began: datetime
    answers: dict[str, Answer] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """The lines about each id."""

    @classmethod
    def read(cls, path: Path, began: datetime, in_the_log: Collection[str]) -> "Books":
        """`in_the_log` settles what no client was told."""
        books = cls(began)
        steps: dict[str, dict[str, Any]] = {}
        for line in lines(path):
            step = steps.setdefault(line["step"], {})
            step |= line
            if "about" in line:
                books.history[line["about"]].append(step)
        for step in steps.values():
            if step["kind"] == "answer":
                books._take_answer(step, in_the_log)
        for step in steps.values():
            if step["outcome"] == "ok":
                books._take(step)
        return books

    def _take_answer(self, step: dict[str, Any], in_the_log: Collection[str]) -> None:
        response_id, outcome = step["about"], step["outcome"]
        (self.acknowledged if outcome == "ok" else self.unknown).add(response_id)
        if outcome == "ok" or response_id in in_the_log:
            self.answers[response_id] = Answer(response_id, step["body"], outcome)

    def _take(self, step: dict[str, Any]) -> None:
        about, body = step["about"], step["body"]
        match step["kind"]:
            case "amendment" if "score" in body:
                self.answers[about].amended[body["revision"]] = body["score"]
            case "retraction":
                self.answers[about].retracted = True
            case "order":
                self.orders[about] = body
            case "refund":
                self.refunds[about] = body

    # -- scores

    def scores(self, window: str, policy: str, as_of: datetime | None) -> Counter[tuple[Series, int]]:
        """How many answers of each group (0 promoters, 1 passives, 2 detractors) each series has."""
        upto = as_of or datetime.max.replace(tzinfo=UTC)
        after = (as_of or self.began) - WINDOWS[window]
        within = [a for a in self.answers.values() if a.counts and after < a.at <= upto]
        if policy == "latest":
            last: dict[str, Answer] = {}
            for answer in sorted(within, key=lambda a: a.at):
                last[answer.respondent] = answer
            within = list(last.values())
        found: Counter[tuple[Series, int]] = Counter()
        for answer in within:
            group = 0 if answer.score >= 9 else 1 if answer.score >= 7 else 2
            found.update((series, group) for series in self._series(answer))
        return found

    def _series(self, answer: Answer) -> Iterator[Series]:
        segments = answer.body["segments"]
        country = _declared(segments.get("country"), COUNTRIES)
        touchpoint = _declared(answer.body.get("touchpoint"), TOUCHPOINTS)
        yield ("", "")
        yield ("", touchpoint)
        yield (f"country:{country}", "")
        yield (f"product_line:{_declared(segments.get('product_line'), LINES)}", "")
        yield (f"country:{country}", touchpoint)
        tier = self.tier_before(answer.customer, answer.at) if self.is_known(answer.customer) else "unknown"
        yield (f"tier:{tier}", "")

    @staticmethod
    def every_series() -> Iterator[Series]:
        countries = [f"country:{name}" for name in (*COUNTRIES, "other", "unknown")]
        touchpoints = (*TOUCHPOINTS, "other", "unknown")
        lines_ = [f"product_line:{name}" for name in (*LINES, "other", "unknown")]
        tiers = [f"tier:{name}" for name in (*(tier for tier, _ in TIERS), "unknown")]
        yield from ((segment, "") for segment in ("", *countries, *lines_, *tiers))
        yield from (("", touchpoint) for touchpoint in touchpoints)
        yield from ((country, touchpoint) for country in countries for touchpoint in touchpoints)

    # -- customers

    @property
    def customers(self) -> set[str]:
        """Whom the segmenter has to know."""
        buyers = {order["customer"]["id"] for order in self.orders.values()}
        return buyers | {a.customer for a in self.answers.values() if a.identified and a.customer}

    def is_known(self, customer: str | None) -> bool:
        return customer in self.customers

    def tier_before(self, customer: str, moment: datetime) -> str:
        return self._standing(customer, moment)[0]

    def standing(self, customer: str) -> tuple[str, int, int, int]:
        """(tier, points, orders, spent) at the end."""
        tier, points = self._standing(customer, datetime.max.replace(tzinfo=UTC))
        bought = [(i, order) for i, order in self.orders.items() if order["customer"]["id"] == customer]
        spent = sum(order["value"] for _, order in bought)
        back = sum(self.refunds[i]["amount"] for i, _ in bought if i in self.refunds)
        return tier, points, len(bought), spent - back

    def _standing(self, customer: str, before: datetime) -> tuple[str, int]:
        """Points only grow, but by a refund; a tier once reached stays, but by a refund."""
        level = spent = answers = 0
        for at, kind, value in self._events(customer):
            if at >= before:
                break
            answers += kind == "answer"
            spent += value
            points = spent + min(MOST_FOR_ANSWERS, answers * POINTS_OF_AN_ANSWER)
            reached = max(i for i, (_, enter) in enumerate(TIERS) if points >= enter)
            level = reached if kind == "refund" else max(level, reached)
        return TIERS[level][0], spent + min(MOST_FOR_ANSWERS, answers * POINTS_OF_AN_ANSWER)

    def _events(self, customer: str) -> list[tuple[datetime, str, int]]:
        if not hasattr(self, "_by_customer"):
            self._by_customer: dict[str, list[tuple[datetime, str, int]]] = self._all_events()
        return self._by_customer[customer]

    def _all_events(self) -> dict[str, list[tuple[datetime, str, int]]]:
        events: dict[str, list[tuple[datetime, str, int]]] = defaultdict(list)
        for answer in self.answers.values():
            if answer.identified and answer.counts and answer.customer:
                events[answer.customer].append((answer.at, "answer", 0))
        for order_id, order in self.orders.items():
            mine = events[order["customer"]["id"]]
            mine.append((datetime.fromisoformat(order["placed_at"]), "order", order["value"]))
            if refund := self.refunds.get(order_id):
                mine.append((datetime.fromisoformat(refund["refunded_at"]), "refund", -refund["amount"]))
        for mine in events.values():
            mine.sort()
        return events

    # -- cases

    def low_answers(self) -> dict[str, list[Answer]]:
        """By customer: the answers that have to be in a case."""
        found: dict[str, list[Answer]] = defaultdict(list)
        for answer in self.answers.values():
            if answer.customer and self._opens(answer) and not answer.retracted:
                found[answer.customer].append(answer)
        return found

    def may_be_in_a_case(self) -> set[str]:
        """Also those that were retracted since: they may have opened one before."""
        return {answer.id for answer in self.answers.values() if self._opens(answer)}

    def _opens(self, answer: Answer) -> bool:
        fresh = self.began - answer.at <= FRESH
        return answer.identified and answer.was_low and fresh and not answer.body.get("test")


def _declared(value: str | None, declared: set[str]) -> str:
    if value is None:
        return "unknown"
    return value if value in declared else "other"
