"""The words of every message: Slack, e-mail and webhook templates say the same, each in its own form."""

from dataclasses import dataclass

from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.case import Case, Priority
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage

LONGEST_LINE = 150
LONGEST_TEXT = 2500

_TITLES = {
    "case.opened": "Unhappy customer",
    "case.reopened": "Unhappy again",
    "case.raised": "Unhappy once more, now more urgent",
    "case.escalated": "Escalated",
}
_BIDI = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))


@dataclass(frozen=True, slots=True)
class MessageWords:
    """The words of a message: plain text without control characters or bidi marks, as long as receivers take.

    `title` says what happened, `subject` what it is about: that is the same for all messages of a case.
    """

    title: str
    subject: str
    text: str
    """The customer's comment, or the sentences of a notice. Empty: there is none."""
    quoted: bool
    """Whether `text` is somebody else's."""
    facts: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    more: int
    link: str
    link_label: str
    priority: Priority


def words_of(message: Message) -> MessageWords:
    """The words of a message about a case or of a notice."""
    return _case_words(message) if isinstance(message, CaseMessage) else _notice_words(message)


def cleaned(text: str, longest: int, *, lines: bool = False) -> str:
    """Printable text of at most `longest` characters, with … where it was cut; `lines` keeps line breaks."""
    kept = text.replace("\r\n", "\n").replace("\r", "\n") if lines else " ".join(text.split())
    shown = "".join(c for c in kept.translate(_BIDI) if c.isprintable() or (lines and c == "\n"))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def customer_label(case: Case, answer: Answer | None) -> str:
    """The name, id, e-mail or reference of the customer; `(unverified)` if only a browser said who it is."""
    person = answer.body.person if answer else None
    name = (person.name or person.id or person.email) if person else None
    label = cleaned(name or case.customer_ref[:8], LONGEST_LINE - 20)
    verified = answer.body.verified if answer else case.verified
    return label if verified else f"{label} (unverified)"


def case_summary(case: Case, answer: Answer | None, customer: str) -> str:
    """A case as a line of a digest: `Ann, NPS 2, urgent`."""
    return ", ".join((customer, score_text(answer), str(case.priority)))


def score_text(answer: Answer | None) -> str:
    """`NPS 2`, `CSAT 1`; `score unknown` without an answer."""
    return f"{answer.body.metric.upper()} {answer.score}" if answer else "score unknown"


def _case_words(message: CaseMessage) -> MessageWords:
    case, answer = message.case, message.answer
    due = case.first_contact_due_at.astimezone(message.shop.zone)
    resolve = case.resolve_due_at.astimezone(message.shop.zone)
    facts = (
        ("Customer", customer_label(case, answer)),
        ("Priority", f"{case.priority} ({case.rule})"),
        ("Tier", message.tier or "unknown"),
        ("Call before", f"{due:%Y-%m-%d %H:%M %Z}"),
        ("Solve before", f"{resolve:%Y-%m-%d %H:%M %Z}"),
        ("Touchpoint", (answer.body.touchpoint if answer else None) or "none"),
        ("Owner", case.owner or "nobody yet"),
    )
    return MessageWords(
        title=f"{_happened(message)}: {score_text(answer)}",
        subject=f"{customer_label(case, answer)}: {case_name(case)}",
        text=cleaned((answer.comment if answer else None) or "", LONGEST_TEXT, lines=True),
        quoted=True,
        facts=tuple((name, cleaned(value, LONGEST_LINE)) for name, value in facts),
        items=(),
        more=0,
        link=message.link,
        link_label="Open the case",
        priority=case.priority,
    )


def _happened(message: CaseMessage) -> str:
    if message.type == "case.opened" and message.case.wants_contact:
        return "Wants to be called"
    return _TITLES.get(message.type, "Case")


def case_name(case: Case) -> str:
    """What people call a case: `case 2036`."""
    return f"case {case.number}"


def _notice_words(message: NoticeMessage) -> MessageWords:
    facts = message.detail.get("facts") or {}
    title = cleaned(message.title, LONGEST_LINE)
    return MessageWords(
        title=title,
        subject=title,
        text=cleaned(str(message.detail.get("text") or ""), LONGEST_TEXT, lines=True),
        quoted=False,
        facts=tuple((cleaned(str(n), 60), cleaned(str(v), LONGEST_LINE)) for n, v in facts.items())[:20],
        items=tuple(Item(cleaned(item.text, LONGEST_LINE), item.link) for item in message.items),
        more=message.more,
        link=message.link,
        link_label="Open",
        priority=Priority.NORMAL,
    )
