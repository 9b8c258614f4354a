"""A case as a row of the list, in words and looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.notifier.cases.casework import Line
from services.notifier.cases.domain.answers import Answer, vouched
from services.notifier.cases.domain.case import Case, Outcome, Part, Status
from services.notifier.deliveries.settings import Channel, Kind
from services.notifier.inbox.clocks import ClockShown, in_list
from shared.access import Member
from shared.access.people import initials
from shared.feedback.metrics import FeedbackError, scale_for
from shared.pages.wording import span

# The names of people, for the addresses that are stored.

OURSELVES = "Closeloop"


class Names:
    """The members of a store. Somebody who left, or a word that a program gave, is called by that."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = list(members)
        self._by_email = {member.email: member for member in self.members}

    def of(self, owner: str | None) -> str:
        """Empty for nobody."""
        member = self._by_email.get(owner or "")
        return member.name if member else owner or ""

    def initials(self, owner: str | None) -> str:
        member = self._by_email.get(owner or "")
        return member.initials if member else initials(owner or "")

    def actor(self, who: str) -> str:
        """Of the history: a person, a program by its key, or ourselves."""
        kind, _, name = who.partition(":")
        if kind == "user":
            return self.of(name)
        return f"The API key {name}" if kind == "key" else OURSELVES

    def __contains__(self, email: str) -> bool:
        return email in self._by_email


STATUS_LOOKS: Mapping[Status, str] = {
    Status.OPEN: "accent",
    Status.ASSIGNED: "",
    Status.CONTACTED: "ok",
    Status.SNOOZED: "line",
    Status.RESOLVED: "",
    Status.REOPENED: "warn",
    Status.CLOSED: "",
    Status.DISMISSED: "line",
}
"""The kind of the badge of each state."""


@dataclass(frozen=True, slots=True)
class Badge:
    text: str
    kind: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True)
class ScoreShown:
    value: int | None
    group: str | None
    top: int = 10


@dataclass(frozen=True, slots=True)
class OwnerShown:
    key: str
    name: str
    initials: str


@dataclass(frozen=True, slots=True)
class Row:
    """`ticket` is what the check box sends: the case and the version that was seen."""

    case: Case
    href: str
    ticket: str
    clock: ClockShown
    score: ScoreShown
    name: str
    comment: str
    badges: Sequence[Badge]
    tier: str
    rank: int
    owner: OwnerShown
    status: Badge


class Shelf:
    """Makes rows for the list of one store."""

    def __init__(self, names: Names, tiers: Sequence[str], now: datetime, zone: ZoneInfo) -> None:
        self._names = names
        self._tiers = tiers
        self._now = now
        self._zone = zone

    def row(self, line: Line, href: str) -> Row:
        case = line.case
        standing = [answer for answer, _ in line.answers if not answer.retracted]
        tier = line.customer.tier or case.tier or ""
        return Row(
            case,
            href,
            f"{case.case_id}:{case.version}",
            in_list(case, self._now, self._zone),
            score_of(line),
            name_of(line),
            next((answer.comment for answer in reversed(standing) if answer.comment), ""),
            badges_of(line),
            tier,
            rank_of(tier, self._tiers),
            owner_of(case, self._names),
            status_of(case),
        )


def owner_of(case: Case, names: Names) -> OwnerShown:
    return OwnerShown(case.owner or "", names.of(case.owner), names.initials(case.owner))


def status_of(case: Case) -> Badge:
    return Badge(case.status.value.capitalize(), STATUS_LOOKS[case.status])


def rank_of(tier: str, tiers: Sequence[str]) -> int:
    """1 to 4 by its place among the store's tiers; 0 for one that it has not."""
    return min(tiers.index(tier) + 1, 4) if tier in tiers else 0


def name_of(line: Line) -> str:
    """What the customer is called in the last answer that is vouched for; at worst the reference."""
    named = vouched([answer for answer, _ in line.answers])
    person = named.body.person if named else None
    return (person and (person.name or person.email or person.id)) or line.case.customer_ref


def score_of(line: Line) -> ScoreShown:
    """The score of the answer that came last and stands."""
    standing = [answer for answer, _ in line.answers if not answer.retracted]
    if standing:
        return score_of_answer(standing[-1])
    return ScoreShown(line.case.score, None)


def score_of_answer(answer: Answer) -> ScoreShown:
    try:
        scale = scale_for(answer.body.metric, answer.body.scale)
    except FeedbackError:
        return ScoreShown(answer.score, None)
    return ScoreShown(answer.score, answer.group.name.lower(), scale.high)


def badges_of(line: Line) -> list[Badge]:
    case = line.case
    found = []
    if case.escalated and case.live:
        found.append(Badge("Escalated", "danger", "up"))
    if len(case.standing) > 1:
        found.append(Badge(f"{len(case.standing)} answers", "", "merge"))
    if case.wants_contact:
        found.append(Badge("Asks to be contacted", "accent", "phone"))
    if not case.verified:
        found.append(Badge("Not verified", "line", "shield"))
    if any(part is Part.REOPENED for _, part in line.answers) and case.status is not Status.REOPENED:
        found.append(Badge("Was reopened", "", "refresh"))
    return found


LEAST_LOADED = "least_loaded"


WAYS = {"phone": "Phone", "email": "E-mail", "chat": "Chat", "letter": "Letter", "other": "Other"}
"""How a customer was contacted."""


OUTCOMES = {
    Outcome.RECOVERED: "Recovered",
    Outcome.UNRESOLVED: "Unresolved",
    Outcome.CHURNED: "Left us",
    Outcome.NO_RESPONSE: "No response",
    Outcome.NOT_ACTIONABLE: "Nothing to act on",
}


DISMISSALS = ("Spam", "Test", "Duplicate", "Not a complaint")
"""Reasons that are offered; any other may be written."""


# Words for channels and hours.

CHANNEL_SIGNS = {Kind.SLACK: "hash", Kind.EMAIL: "mail", Kind.WEBHOOK: "hook"}
_KIND_NAMES = {Kind.SLACK: "Slack", Kind.EMAIL: "E-mail", Kind.WEBHOOK: "Webhook"}


def channel_words(name: str, channels: Mapping[str, Channel]) -> tuple[Kind, str]:
    """What kind a channel is, and what people call it; one that is gone looks like a webhook."""
    channel = channels.get(name)
    kind = channel.kind if channel else Kind.WEBHOOK
    return kind, f"{_KIND_NAMES[kind]} {name}"


def hours_text(hours: float, *, business: bool) -> str:
    """`4 working hours`, `1 hour`, `30 minutes`."""
    kind = "working " if business else ""
    if hours < 1:
        return f"{round(hours * 60)} {kind}minutes"
    number = f"{hours:g}"
    return f"{number} {kind}{'hour' if number == '1' else 'hours'}"


def amount(value: Decimal) -> str:
    """`1,200`, `59.90`; as many decimals as it came with where two are too few."""
    if value == value.to_integral_value():
        return f"{value:,.0f}"
    places = max(2, -int(value.normalize().as_tuple().exponent))
    return f"{value:,.{places}f}"


def seconds(took: float) -> str:
    return f"{max(took, 0):.1f} s" if took < 60 else span(took)
