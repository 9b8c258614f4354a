"""The words that people read about cases, in one place for the inbox, the report and the channels.

Labels of outcomes, ways of contact, reasons of dismissal and kinds of channels; the promise of a rule in
hours; and the names of the people of a store.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from services.notifier.cases.domain.case import Outcome
from services.notifier.deliveries.settings import Channel, ChannelKind
from shared.access import Member
from shared.access.people import initials

PRODUCT_NAME: Final = "Closeloop"
"""The actor that people see when the product itself changed a case."""

OUTCOME_LABELS: Final[Mapping[Outcome, str]] = {
    Outcome.RECOVERED: "Recovered",
    Outcome.UNRESOLVED: "Unresolved",
    Outcome.CHURNED: "Left us",
    Outcome.NO_RESPONSE: "No response",
    Outcome.NOT_ACTIONABLE: "Nothing to act on",
}

CONTACT_LABELS: Final[Mapping[str, str]] = {
    "phone": "Phone",
    "email": "E-mail",
    "chat": "Chat",
    "letter": "Letter",
    "other": "Other",
}
"""The ways in which a customer can be contacted, by the value that a form sends."""

DISMISSAL_REASONS: Final = ("Spam", "Test", "Duplicate", "Not a complaint")
"""The reasons that a form offers; a person may write any other."""

_CHANNEL_KINDS: Final = {
    ChannelKind.SLACK: "Slack",
    ChannelKind.EMAIL: "E-mail",
    ChannelKind.WEBHOOK: "Webhook",
}
_CHANNEL_SIGNS: Final = {ChannelKind.SLACK: "hash", ChannelKind.EMAIL: "mail", ChannelKind.WEBHOOK: "hook"}


def channel_label(name: str, channel: Channel | None) -> str:
    """`Slack alerts`; the name alone for a channel that the configuration no longer has."""
    return f"{_CHANNEL_KINDS[channel.kind]} {name}" if channel else name


def channel_sign(channel: Channel | None) -> str:
    """The name of a channel's icon; a hook for a channel that the configuration no longer has."""
    return _CHANNEL_SIGNS[channel.kind] if channel else "hook"


def hours_text(hours: float, *, business: bool) -> str:
    """`4 working hours`, `1 hour`, `30 minutes`."""
    kind = "working " if business else ""
    if hours < 1:
        return f"{round(hours * 60)} {kind}minutes"
    number = f"{hours:g}"
    return f"{number} {kind}{'hour' if number == '1' else 'hours'}"


class MemberNames:
    """What the people of a store are called, by the e-mail addresses that rows hold.

    Somebody who left the store, or a word that a program gave as the owner, is called by that word.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = list(members)
        self._by_email = {member.email: member for member in self.members}

    def of(self, owner: str | None) -> str:
        """The name of an owner; empty for nobody."""
        member = self._by_email.get(owner or "")
        return member.name if member else owner or ""

    def initials(self, owner: str | None) -> str:
        """The initials of an owner; empty for nobody."""
        member = self._by_email.get(owner or "")
        return member.initials if member else initials(owner or "")

    def actor(self, who: str) -> str:
        """Who did something, as the history names them: a person, a program by its key, or the product."""
        kind, _, name = who.partition(":")
        if kind == "user":
            return self.of(name)
        return f"The API key {name}" if kind == "key" else PRODUCT_NAME

    def __contains__(self, email: str) -> bool:
        return email in self._by_email
