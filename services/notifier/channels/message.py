"""What is told, before a channel gives it its form: about a case, or a notice beside the cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.case import Case


@dataclass(frozen=True, slots=True)
class Shop:
    """The store as people know it. `base_url` is where they reach the product, without a slash."""

    key: str
    name: str
    zone: ZoneInfo
    base_url: str


@dataclass(frozen=True, slots=True)
class CaseMessage:
    """`id` stays the same over every attempt: receivers drop a repeat by it."""

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
        """What belongs together in a mailbox, or is one incident."""
        return self.case.case_id

    @property
    def link(self) -> str:
        return f"{self.shop.base_url}/inbox/{self.case.case_id}"

    @property
    def owner(self) -> str | None:
        return self.case.owner


@dataclass(frozen=True, slots=True)
class Item:
    """One of the things that a notice lists."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class NoticeMessage:
    """`detail` is what `store.notices.New` says; `items` are those that are shown, `more` those left out."""

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
    """An address as it is, a path behind the product's own."""
    return link if link.startswith(("https://", "http://")) else f"{shop.base_url}/{link.lstrip('/')}"
