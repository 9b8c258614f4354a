"""The history of a case as sentences, the oldest first, with the alerts that were sent among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.notifier.cases.casework import CaseDetails
from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.store.writing import HistoryRow
from services.notifier.cases.wording import (
    CONTACT_LABELS,
    OUTCOME_LABELS,
    PRODUCT_NAME,
    MemberNames,
    channel_label,
    channel_sign,
    hours_text,
)
from services.notifier.deliveries.settings import Channel
from services.notifier.deliveries.store import Delivery, State
from services.notifier.inbox.clocks import day_and_time
from services.notifier.inbox.list_view import ScoreShown, name_of, score_of_answer
from shared.pages.wording import span


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the history: `strong` begins the sentence, `text` ends it, `muted` adds to it.

    `quote` is what the customer wrote, `note` what somebody of the store wrote.

    `look` is the colour of the mark: a group, up, warn or nothing; `score` stands in it instead of a sign.
    """

    at: datetime
    sign: str
    strong: str = ""
    text: str = ""
    muted: str = ""
    quote: str = ""
    note: str = ""
    look: str = ""
    score: int | None = None
    tags: tuple[str, ...] = ()


class CaseHistory:
    """Words what happened to one case, for the people of its store."""

    def __init__(
        self,
        shown: CaseDetails,
        names: MemberNames,
        channels: Mapping[str, Channel],
        now: datetime,
        zone: ZoneInfo,
    ) -> None:
        self._shown = shown
        self._names = names
        self._channels = channels
        self._now = now
        self._zone = zone
        self._answers = {answer.response_id: answer for answer, _ in shown.answers}

    def entries(self) -> list[HistoryEntry]:
        """The rows of the history and the alerts that were sent, the oldest first."""
        entries = [entry for row in self._shown.history for entry in self._row(row)]
        entries += [entry for delivery in self._shown.deliveries if (entry := self._delivery(delivery))]
        return sorted(entries, key=lambda entry: entry.at)

    def sentences(self, rows: Sequence[HistoryRow]) -> list[str]:
        """Some rows of the history as sentences, for a person who did not see the changes."""
        return [
            " ".join(filter(None, (entry.strong, entry.text, entry.muted)))
            for row in rows
            for entry in self._row(row)
        ]

    def _row(self, row: HistoryRow) -> list[HistoryEntry]:
        what, detail = row.entry.what, row.entry.detail
        if what in ("opened", "joined", "reopened", "answered_again") and "response_id" in detail:
            return self._answered(row, what, detail)
        make = _ENTRY_MAKERS.get(what)
        who = self._names.actor(row.who)
        if make is None:
            return [HistoryEntry(row.at, "info", who, what.replace("_", " "))]
        return [make(self, row.at, who, detail)]

    def _answered(self, row: HistoryRow, what: str, detail: Mapping[str, Any]) -> list[HistoryEntry]:
        answer = self._answers.get(str(detail["response_id"]))
        name = name_of(self._shown)
        first = what == "opened"
        score = score_of_answer(answer) if answer else ScoreShown(detail.get("score"), None)
        metric = str(detail.get("metric", "")).upper()
        value = detail.get("score", score.value)
        score_text = f"{value}" if metric in ("", "NPS") else f"{metric} {value} of {score.top}"
        entry = HistoryEntry(
            min(row.at, answer.body.received_at) if answer else row.at,
            "inbox" if first else "merge",
            f"{name} answered {'' if first else 'again: '}{score_text}",
            "",
            _circumstances(answer, what),
            quote=(answer.comment or "") if answer and not answer.retracted else "",
            look=(score.group or "") if first else "warn",
            score=value if first else None,
        )
        if first:
            return [entry, self._opened(row, detail)]
        if what == "reopened":
            return [
                entry,
                HistoryEntry(row.at, "refresh", "", "Case reopened, with a new clock for the resolution"),
            ]
        return [entry]

    def _opened(self, row: HistoryRow, detail: Mapping[str, Any]) -> HistoryEntry:
        case = self._shown.case
        hours = case.first_contact_hours
        text = f"Case opened, {detail.get('priority', case.priority)}"
        if hours:
            text += f", {hours_text(hours, business=case.clock == 'business')} to first contact"
        return HistoryEntry(row.at, "inbox", "", text)

    def _delivery(self, delivery: Delivery) -> HistoryEntry | None:
        channel = self._channels.get(delivery.channel)
        sign, name = channel_sign(channel), channel_label(delivery.channel, channel)
        if delivery.state is State.SENT and delivery.settled_at:
            took = (delivery.settled_at - delivery.created_at).total_seconds()
            return HistoryEntry(
                delivery.settled_at, sign, name, "told", f"in {span(took, tenths=True)}", look="up"
            )
        error = delivery.last_error or (f"status {delivery.last_status}" if delivery.last_status else "")
        if delivery.state is State.PENDING and delivery.attempt and error:
            text = f"not told yet (try {delivery.attempt} failed: {error})"
            return HistoryEntry(delivery.created_at, sign, name, "", text, look="warn")
        if delivery.state is State.DEAD and delivery.settled_at:
            text = f"gave up after {delivery.attempt} tries" + (f": {error}" if error else "")
            return HistoryEntry(delivery.settled_at, sign, name, "was not told,", text, look="warn")
        if delivery.state is State.DIGESTED and delivery.settled_at:
            return HistoryEntry(delivery.settled_at, sign, name, "told in a digest with others", look="up")
        return None

    def _assigned(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        owner = self._names.of(str(detail.get("owner", "")))
        how = {"round_robin": "whose turn it was", "least_loaded": "who had the fewest cases"}.get(
            str(detail.get("how", "")), ""
        )
        if owner == who:
            return HistoryEntry(at, "user", who, "took the case")
        return HistoryEntry(at, "user", who, f"assigned it to {owner}", f"({how})" if how else "")

    def _contacted(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        way = CONTACT_LABELS.get(str(detail.get("how", "")), "")
        by = f"by {way.lower()}" if way and detail.get("how") != "other" else ""
        return HistoryEntry(
            at, "phone", who, "contacted the customer", by, note=str(detail.get("note", "")), look="up"
        )

    def _noted(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        return HistoryEntry(at, "note", who, "added a note", note=str(detail.get("note", "")))

    def _snoozed(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        until = datetime.fromisoformat(str(detail["until"]))
        return HistoryEntry(at, "moon", who, f"snoozed it to {day_and_time(until, self._now, self._zone)}")

    def _woken(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        if who == PRODUCT_NAME:
            return HistoryEntry(at, "clock", "", "The snooze is over; the clock of the resolution runs on")
        return HistoryEntry(at, "clock", who, "woke it; the clock of the resolution runs on")

    def _ended(self, at: datetime, who: str, detail: Mapping[str, Any], word: str) -> HistoryEntry:
        outcome = next((text for key, text in OUTCOME_LABELS.items() if key == detail.get("outcome")), "")
        about = ", ".join(filter(None, (str(detail.get("root_cause") or ""), outcome.lower())))
        return HistoryEntry(at, "check", who, word, about, note=str(detail.get("note", "")), look="up")

    def _dismissed(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        reason = str(detail.get("reason", ""))
        if reason == "retracted":
            return HistoryEntry(
                at, "x", "", "Dismissed: the answer was retracted before anybody had touched it"
            )
        return HistoryEntry(at, "x", who, "dismissed it", reason)

    def _escalated(self, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        parts = []
        if detail.get("owner"):
            parts.append(f"to {self._names.of(str(detail['owner']))}")
        if detail.get("priority"):
            parts.append(f"now {detail['priority']}")
        return HistoryEntry(
            at, "up", "", " ".join(["Escalated", ", ".join(parts)]).strip(), f"({detail.get('step', '')})",
            look="warn",
        )  # fmt: skip


def _plain_entry(sign: str, text: str, *, look: str = "", ours: bool = False) -> Any:
    def make(history: CaseHistory, at: datetime, who: str, detail: Mapping[str, Any]) -> HistoryEntry:
        filled = text.format_map({"priority": "", "channel": "", "score": "", **detail})
        return HistoryEntry(at, sign, "" if ours else who, filled, look=look)

    return make


_ENTRY_MAKERS: Mapping[str, Any] = {
    "assigned": CaseHistory._assigned,
    "contacted": CaseHistory._contacted,
    "noted": CaseHistory._noted,
    "snoozed": CaseHistory._snoozed,
    "woken": CaseHistory._woken,
    "resolved": lambda history, at, who, detail: history._ended(at, who, detail, "resolved it:"),
    "closed": lambda history, at, who, detail: history._ended(at, who, detail, "closed it:"),
    "reopened": _plain_entry("refresh", "opened it again", look="warn"),
    "dismissed": CaseHistory._dismissed,
    "escalated": CaseHistory._escalated,
    "priority_raised": _plain_entry("up", "Priority raised to {priority}", look="warn", ours=True),
    "answer_amended": _plain_entry("note", "The customer added to the answer", ours=True),
    "score_changed": _plain_entry("pulse", "The customer changed the score to {score}", ours=True),
    "answer_retracted": _plain_entry("trash", "An answer was retracted", ours=True),
    "delivery_replayed": _plain_entry("refresh", "sent the alert to {channel} again"),
    "told": _plain_entry("check", "told the customer what was done", look="up"),
    "watched": _plain_entry("hidden", "watches the case"),
    "unwatched": _plain_entry("hidden", "stopped watching"),
}


def _circumstances(answer: Answer | None, what: str) -> str:
    parts = []
    if answer:
        if answer.body.channel != "api":
            parts.append(f"by {answer.body.channel.replace('_', ' ')}")
        if answer.body.touchpoint:
            parts.append(f"at {answer.body.touchpoint.replace('_', ' ')}")
        if answer.retracted:
            parts.append("retracted since")
    text = ", ".join(parts)
    joined = {"joined": "It joined this case.", "answered_again": "Noted; it changes nothing."}.get(what, "")
    return f"{text}. {joined}" if text and joined else text or joined
