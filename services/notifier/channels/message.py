"""The messages that channels send, about a case or as a notice, and their payload as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.case import Case


@dataclass(frozen=True, slots=True)
class Shop:
    """A store as messages name it. `base_url`: where people reach the product, without a slash at its end."""

    key: str
    name: str
    zone: ZoneInfo
    base_url: str


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """A message about a case. `id` stays the same over every attempt, so that receivers can drop a repeat."""

    id: str
    reason: str
    created_at: datetime
    shop: Shop
    case: Case
    answer: Answer | None
    """None when its revisions are gone."""
    tier: str | None
    tags: tuple[str, ...]
    traceparent: str

    @property
    def type(self) -> str:
        """`case.opened`, `case.reopened`, `case.raised` and so on: what happened to the case."""
        return f"case.{self.reason.partition(':')[0]}"

    @property
    def thread(self) -> str:
        """The messages with the same thread are one conversation of a mailbox, or one incident."""
        return self.case.case_id

    @property
    def link(self) -> str:
        return f"{self.shop.base_url}/inbox/{self.case.case_id}"

    @property
    def owner(self) -> str | None:
        return self.case.owner


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a notice, with the address behind it."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class NoticeMessage:
    """A message that is not about one case: a digest, a report, a test, a score that fell, a silence.

    `detail`: see `NewNotice`. `items`: the lines that are shown; `more`: how many are not.
    """

    id: str
    notice_id: str
    kind: str
    title: str
    detail: Mapping[str, Any]
    path: str
    created_at: datetime
    shop: Shop
    items: tuple[Item, ...]
    more: int
    traceparent: str

    @property
    def type(self) -> str:
        return f"notice.{self.kind}"

    @property
    def thread(self) -> str:
        return self.notice_id

    @property
    def link(self) -> str:
        return absolute(self.path, self.shop)

    @property
    def owner(self) -> str | None:
        return None


Message = CaseMessage | NoticeMessage


def absolute(link: str, shop: Shop) -> str:
    """The whole address of a link: a path stands behind the product's address, an address stays as it is."""
    return link if link.startswith(("https://", "http://")) else f"{shop.base_url}/{link.lstrip('/')}"


def payload(message: Message) -> dict[str, Any]:
    """A message as data: the body of a signed webhook, and what a template gets.

    It has `type`, `timestamp` and `data`, as Standard Webhooks advises.
    """
    data = _of_case(message) if isinstance(message, CaseMessage) else _of_notice(message)
    return {"type": message.type, "timestamp": message.created_at, "data": data}


def _of_case(message: CaseMessage) -> dict[str, Any]:
    return {
        "case": _case(message.case),
        "answer": _answer(message.answer) if message.answer else None,
        "customer": _customer(message),
        "links": {"case": message.link},
    }


def _of_notice(message: NoticeMessage) -> dict[str, Any]:
    return {
        "notice": {
            "id": message.notice_id,
            "kind": message.kind,
            "store": message.shop.key,
            "title": message.title,
            "detail": message.detail,
            "items": [{"text": item.text, "link": item.link} for item in message.items],
            "more": message.more,
        },
        "links": {"notice": message.link},
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "id": case.case_id,
        "number": case.number,
        "store": case.store,
        "status": case.status,
        "priority": case.priority,
        "rule": case.rule,
        "verified": case.verified,
        "team": case.team,
        "owner": case.owner,
        "wants_contact": case.wants_contact,
        "opened_at": case.opened_at,
        "first_contact_due_at": case.first_contact_due_at,
        "resolve_due_at": case.resolve_due_at,
        "answers": len(case.standing),
        "reopened": case.reopened,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    body = answer.body
    return {
        "response_id": answer.response_id,
        "metric": body.metric,
        "scale": body.scale,
        "score": answer.score,
        "comment": answer.comment,
        "touchpoint": body.touchpoint,
        "channel": body.channel,
        "answered_at": body.answered_at,
        "retracted": answer.retracted,
        "verified": body.verified,
        "order": {
            "id": body.order_id,
            "value": str(body.order_value) if body.order_value is not None else None,
            "currency": body.currency,
        },
        "segments": dict(body.segments),
        "answers": [{"question": question, "value": value} for question, value in answer.follow_ups],
    }


def _customer(message: CaseMessage) -> dict[str, Any]:
    person = message.answer.body.person if message.answer else None
    return {
        "ref": message.case.customer_ref,
        "id": person.id if person else None,
        "email": person.email if person else None,
        "name": person.name if person else None,
        "tier": message.tier,
        "tags": message.tags,
    }
