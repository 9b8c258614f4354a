"""Messages that templates are proved with: full ones, empty ones, and what customers may write."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.answers import Answer, Person, Submitted, fold
from services.notifier.cases.domain.case import Case
from services.notifier.cases.domain.rules import Priority
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage, Shop
from services.notifier.domain.states import Status

_NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
_SHOP = Shop("demo", "Demo store", ZoneInfo("Europe/Amsterdam"), "https://feedback.example")
_COMMENT = 'He said "never again" \\ </script> {{ 7 * 7 }}\r\n\u202etfel\u2028 & <!channel> ' + "late " * 2000


def samples() -> dict[str, Message]:
    """By what they are, as a mistake names them."""
    return {
        "an urgent case with everything": _case(Priority.URGENT, _answer()),
        "a case that was raised": _case(Priority.HIGH, _answer(), reason="raised:high"),
        "a case whose answer is gone": _case(Priority.LOW, None),
        "a notice with a list": _notice("digest", {"text": "Twenty-one more.", "facts": {"Alerts": 21}}, 2),
        "a notice without one": _notice("test", {}, 0),
    }


def _answer() -> Answer | None:
    body = Submitted(
        id="e-1",
        received_at=_NOW,
        answered_at=_NOW,
        metric="nps",
        scale="0-10",
        score=1,
        person=Person("ref-1", "c-1", "ann@example.com", 'Ann "The Hammer" O\'Neil'),
        comment=_COMMENT,
        touchpoint="post_delivery",
        order_id="o-1",
        order_value=Decimal("129.90"),
        currency="EUR",
        segments=(("country", "NL"),),
        follow_ups=(("Why?", "late"), ("Again?", None)),
    )
    return fold("r-1", [body])


def _case(priority: Priority, answer: Answer | None, reason: str = "opened") -> Message:
    case = Case(
        case_id="0199a0c2-6c1c-7000-8000-000000000001",
        store="demo",
        customer_ref="ref-1",
        response_id="r-1",
        status=Status.OPEN,
        priority=priority,
        rule="furious",
        config_version="v",
        verified=answer is not None,
        opened_at=_NOW,
        first_contact_due_at=_NOW + timedelta(hours=4),
        resolve_due_at=_NOW + timedelta(hours=48),
        resolve_hours=48,
        owner="kim@example.com" if answer else None,
        standing=frozenset({"r-1"}),
    )
    tags = ("vip",) if answer else ()
    return CaseMessage(
        "d-1", reason, _NOW, _SHOP, case, answer, "Gold" if answer else None, tags, "00-a-b-01"
    )


def _notice(kind: str, detail: dict[str, object], items: int) -> Message:
    listed = tuple(Item(f"Ann, NPS {n}, high", f"{_SHOP.base_url}/inbox/{n}") for n in range(items))
    return NoticeMessage(
        "d-2", f"{kind}:demo:1", kind, "A notice", detail, "/inbox", _NOW, _SHOP, listed, items, "00-a-b-01"
    )
