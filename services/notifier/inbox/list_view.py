"""A case as a row of the list: the row in words, with its badges and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.notifier.cases.casework import CaseLine
from services.notifier.cases.domain.answers import Answer, vouched
from services.notifier.cases.domain.case import Case, Part, Status
from services.notifier.cases.wording import MemberNames
from services.notifier.inbox.clocks import ClockShown, list_clock
from shared.feedback.metrics import FeedbackError, scale_for

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
"""The kind of badge that each state has, which is its colour."""


@dataclass(frozen=True, slots=True)
class Badge:
    """`kind` names its colour, `sign` its icon; both may be empty."""

    text: str
    kind: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True)
class ScoreShown:
    """A score, the group that it falls into, which is its colour, and the highest value of its scale."""

    value: int | None
    group: str | None
    top: int = 10


@dataclass(frozen=True, slots=True)
class OwnerShown:
    """The owner of a case; `key` is the e-mail address, all are empty for nobody."""

    key: str
    name: str
    initials: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list. `ticket` is what its check box sends: the case and the version that was seen."""

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


class RowBuilder:
    """Makes the rows of the list of one store, as things are at `now`."""

    def __init__(self, names: MemberNames, tiers: Sequence[str], now: datetime, zone: ZoneInfo) -> None:
        self._names = names
        self._tiers = tiers
        self._now = now
        self._zone = zone

    def row(self, line: CaseLine, href: str) -> Row:
        case = line.case
        standing = [answer for answer, _ in line.answers if not answer.retracted]
        tier = line.customer.tier or case.tier or ""
        return Row(
            case,
            href,
            f"{case.case_id}:{case.version}",
            list_clock(case, self._now, self._zone),
            score_of(line),
            name_of(line),
            next((answer.comment for answer in reversed(standing) if answer.comment), ""),
            badges_of(line),
            tier,
            rank_of(tier, self._tiers),
            owner_of(case, self._names),
            status_of(case),
        )


def owner_of(case: Case, names: MemberNames) -> OwnerShown:
    return OwnerShown(case.owner or "", names.of(case.owner), names.initials(case.owner))


def status_of(case: Case) -> Badge:
    return Badge(case.status.value.capitalize(), STATUS_LOOKS[case.status])


def rank_of(tier: str, tiers: Sequence[str]) -> int:
    """1 to 4, by where a tier stands among those of the store; 0 for a tier that the store has not."""
    return min(tiers.index(tier) + 1, 4) if tier in tiers else 0


def name_of(line: CaseLine) -> str:
    """The name of the customer in the last answer that is vouched for; without one, the reference."""
    named = vouched([answer for answer, _ in line.answers])
    person = named.body.person if named else None
    return (person and (person.name or person.email or person.id)) or line.case.customer_ref


def score_of(line: CaseLine) -> ScoreShown:
    """The score of the last answer that was not retracted."""
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


def badges_of(line: CaseLine) -> list[Badge]:
    """What stands out in a case, for its row and its page."""
    case = line.case
    badges = []
    if case.escalated and case.live:
        badges.append(Badge("Escalated", "danger", "up"))
    if len(case.standing) > 1:
        badges.append(Badge(f"{len(case.standing)} answers", "", "merge"))
    if case.wants_contact:
        badges.append(Badge("Asks to be contacted", "accent", "phone"))
    if not case.verified:
        badges.append(Badge("Not verified", "line", "shield"))
    if any(part is Part.REOPENED for _, part in line.answers) and case.status is not Status.REOPENED:
        badges.append(Badge("Was reopened", "", "refresh"))
    return badges
