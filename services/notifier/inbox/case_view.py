"""A case as its page shows it: each part of the page in words, with its icons and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from services.notifier.cases.casework import CaseDetails
from services.notifier.cases.domain.answers import vouched
from services.notifier.cases.domain.case import Action, Case, Status, allowed
from services.notifier.cases.domain.policy import Policy, When
from services.notifier.cases.wording import (
    CONTACT_LABELS,
    DISMISSAL_REASONS,
    OUTCOME_LABELS,
    channel_label,
    channel_sign,
    hours_text,
)
from services.notifier.deliveries.settings import Channel
from services.notifier.deliveries.store import Delivery, State
from services.notifier.inbox.clocks import ClockBar, bars, day_and_time
from services.notifier.inbox.history import CaseHistory, HistoryEntry
from services.notifier.inbox.list_view import (
    Badge,
    ScoreShown,
    badges_of,
    name_of,
    rank_of,
    score_of,
    status_of,
)
from services.notifier.inbox.site import InboxSite
from shared.feedback.metrics import FeedbackError, scale_for
from shared.pages.people import PersonAtStore
from shared.pages.wording import PageClock, amount, when

_DELIVERY_LOOKS = {
    State.SENT: Badge("Delivered", "ok", "check"),
    State.DEAD: Badge("Dead", "danger", "x"),
    State.CANCELLED: Badge("Called off", "line", "x"),
    State.DIGESTED: Badge("In a digest", "ok", "check"),
}


@dataclass(frozen=True, slots=True)
class DeliveryShown:
    """An alert of the case: to which channel it went, and how that went."""

    delivery_id: str
    name: str
    sign: str
    line: str
    look: Badge
    dead: bool


def delivery_shown(delivery: Delivery, channels: Mapping[str, Channel], here: PageClock) -> DeliveryShown:
    channel = channels.get(delivery.channel)
    error = delivery.last_error or (f"status {delivery.last_status}" if delivery.last_status else "")
    line, look = "", _DELIVERY_LOOKS.get(delivery.state, Badge("Waiting", "", "clock"))
    if delivery.settled_at:
        line = when(delivery.settled_at, here)
    if delivery.state is State.DEAD:
        line = f"Gave up after {delivery.attempt} tries. {error}"
    if delivery.state is State.PENDING:
        line = f"Next try {when(delivery.next_at, here)}"
        if delivery.attempt and error:
            look = Badge("Retrying", "warn", "refresh")
            line = f"Try {delivery.attempt}, next {when(delivery.next_at, here)}. {error}"
    return DeliveryShown(
        delivery.delivery_id,
        channel_label(delivery.channel, channel),
        channel_sign(channel),
        line,
        look,
        delivery.state is State.DEAD,
    )


_WHY = {
    When.FIRST_CONTACT_OVERDUE: "if nobody has contacted the customer",
    When.RESOLVE_OVERDUE: "if it is not resolved",
    When.AGE: "because of its age",
}
_ACTIONS = {
    "personal_call": ("phone", "Personal call by the account owner"),
    "delivery_recovery": ("box", "Apologise, and put the delivery right"),
    "service_recovery": ("users", "A senior agent takes over, then asks again"),
    "resolve_outreach": ("mail", "Ask what went wrong, and put it right"),
    "win_back_check": ("mail", "Ask what would make it a nine"),
}
"""Sign and sentence of what the loyalty programme recommends."""


@dataclass(frozen=True, slots=True)
class Advice:
    sign: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Escalation:
    text: str
    why: str


class CaseView:
    """Everything that the page shows of one case; the template reads each part as a property."""

    def __init__(
        self, site: InboxSite, at: PersonAtStore, shown: CaseDetails, history: CaseHistory, now: datetime
    ) -> None:
        self.names = site.names(at.store)
        self._site = site
        self._at = at
        self._shown = shown
        self._history = history
        self._now = now
        self._zone = site.zone(at.store)
        self.case = shown.case
        self.name = name_of(shown)
        self.score = score_of(shown)
        self.status = status_of(shown.case)
        self.badges = badges_of(shown)
        self.actions = {action.value for action in allowed(shown.case.status)}
        self.outcomes = [(outcome.value, text) for outcome, text in OUTCOME_LABELS.items()]
        self.ways = list(CONTACT_LABELS.items())
        self.dismissals = DISMISSAL_REASONS

    def may(self, action: str) -> bool:
        return action in self.actions

    @property
    def answered(self) -> str:
        """`Answered 12:58 after post_delivery of HG-48213`."""
        if not self._shown.answers:
            return ""
        body = self._shown.answers[-1][0].body
        text = f"Answered {when(body.answered_at, PageClock(self._now, self._zone))}"
        if body.touchpoint:
            text += f", {body.touchpoint.replace('_', ' ')}"
        return f"{text}, order {body.order_id}" if body.order_id else text

    @property
    def clocks(self) -> tuple[ClockBar, ClockBar]:
        return bars(self.case, self._policy.clock(self.case.clock), self._now, self._zone)

    def day(self, at: datetime) -> str:
        return day_and_time(at, self._now, self._zone)

    @property
    def promise(self) -> str:
        """What the rule promised: `4 working hours to first contact, 48 to a solution`."""
        hours = self.case.first_contact_hours
        business = self.case.clock == "business" and self._policy.hours is not None
        last = f"{hours_text(self.case.resolve_hours, business=business)} to a solution"
        if hours is None:
            return last
        return f"{hours_text(hours, business=business)} to first contact, {last}"

    @property
    def escalation(self) -> Escalation | None:
        """The next step of the escalation; None when none is ahead."""
        if not self._shown.ahead:
            return None
        at, step = self._shown.ahead[0]
        lead = self.names.of(self._policy.lead(self.case.team)) if step.to_lead else ""
        word = f"To {lead}" if lead else step.name.replace("_", " ").replace("-", " ").capitalize()
        return Escalation(f"{word}, {self.day(at)}", _WHY.get(step.when, ""))

    @property
    def advice(self) -> Advice | None:
        """What to do: contact a customer who asked for it, else what the loyalty programme recommends."""
        customer = self._shown.customer
        reasons = "; ".join(customer.reasons)
        if self.case.wants_contact and self.case.first_contact_at is None:
            return Advice("phone", "Contact the customer: it was asked for", reasons)
        if not customer.action or customer.action in ("no_action", "none"):
            return None
        plain = customer.action.replace("_", " ").capitalize()
        sign, text = _ACTIONS.get(customer.action, ("star", plain))
        return Advice(sign, text, reasons)

    @property
    def history(self) -> list[HistoryEntry]:
        return self._history.entries()

    @property
    def tier(self) -> str:
        return self._shown.customer.tier or self.case.tier or ""

    @property
    def rank(self) -> int:
        return rank_of(self.tier, self._site.tiers(self._at.store))

    @property
    def tags(self) -> Sequence[str]:
        return self._shown.customer.tags

    @property
    def risk(self) -> Badge | None:
        risk = self._shown.customer.risk
        if not risk:
            return None
        kind, sign = {"high": ("danger", "alert"), "medium": ("warn", "")}.get(risk, ("", ""))
        return Badge(risk.capitalize(), kind, sign)

    @property
    def past(self) -> list[ScoreShown]:
        """The customer's last answers, the oldest first."""
        scores = []
        for past in reversed(self._shown.past[:6]):
            try:
                top = scale_for(past.metric, past.scale).high
            except FeedbackError:
                top = 10
            scores.append(ScoreShown(past.score, past.group.name.lower(), top))
        return scores

    @property
    def facts(self) -> list[tuple[str, str, str]]:
        """(name, text, link): how to reach the customer, and what the answer was about."""
        named = vouched([answer for answer, _ in self._shown.answers])
        if named is None:
            return []
        body = self._shown.answers[-1][0].body
        person, facts = named.body.person, []
        if person.email:
            facts.append(("E-mail", person.email, f"mailto:{quote(person.email, safe='@')}"))
        if person.id:
            facts.append(("Customer", person.id, ""))
        if body.order_id:
            price = f"{amount(body.order_value)}\u00a0{body.currency or ''}" if body.order_value else ""
            worth = f", {price.strip()}" if price else ""
            facts.append(("Order", f"{body.order_id}{worth}", ""))
        return facts + [(name.replace("_", " ").capitalize(), value, "") for name, value in body.segments]

    @property
    def earlier(self) -> list[tuple[Case, str]]:
        """The customer's other cases, each with how it ended."""
        return [
            (case, OUTCOME_LABELS[case.outcome].lower() if case.outcome else case.status.value)
            for case in self._shown.earlier
        ]

    @property
    def deliveries(self) -> list[DeliveryShown]:
        channels, here = self._site.channels(self._at.store), PageClock(self._now, self._zone)
        return [delivery_shown(delivery, channels, here) for delivery in self._shown.deliveries]

    @property
    def watchers(self) -> list[str]:
        return [self.names.of(watcher) for watcher in self._shown.watchers]

    @property
    def watched(self) -> bool:
        return self._at.person.email in self._shown.watchers

    @property
    def mine(self) -> bool:
        return self.case.owner == self._at.person.email

    @property
    def takeable(self) -> bool:
        return not self.mine and Action.ASSIGN.value in self.actions

    @property
    def ending(self) -> str:
        """The action of the form that ends the case: resolving it, or closing one that is resolved."""
        if Action.RESOLVE.value in self.actions:
            return "resolve"
        return "close" if Action.CLOSE.value in self.actions else ""

    @property
    def snoozed(self) -> bool:
        return self.case.status is Status.SNOOZED

    @property
    def causes(self) -> list[tuple[str, str]]:
        offered = self._site.causes(self._at.store)
        return [("", "Choose one"), *((cause, cause) for cause in offered)]

    @property
    def replies(self) -> dict[str, str]:
        return dict(self._shown.replies)

    @property
    def morning(self) -> str:
        return f"{self._site.next_morning(self._at.store):%Y-%m-%dT%H:%M}"

    @property
    def team(self) -> str:
        return (self.case.team or "").replace("_", " ").replace("-", " ").capitalize()

    @property
    def _policy(self) -> Policy:
        return self._site.policy(self._at.store)
