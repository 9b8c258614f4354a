"""What claimed deliveries say, read in the transaction that claimed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from services.notifier.cases.domain.answers import Answer
from services.notifier.cases.domain.case import Case
from services.notifier.cases.store import answers, cases
from services.notifier.cases.store.answers import readable
from services.notifier.cases.store.cases import COLUMNS, case_of
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage, Shop, absolute
from services.notifier.channels.wording import case_line, who
from services.notifier.deliveries import claims, notices
from services.notifier.deliveries.claims import Claimed
from shared.db import Session

# What alerts about cases tell: the case, the answer behind the alert and the customer, in one look.


@dataclass(frozen=True, slots=True)
class Subject:
    """`answer` of None: it is unknown or unreadable. `tier` and `tags` are the customer's of now."""

    case: Case
    answer: Answer | None
    tier: str | None
    tags: tuple[str, ...]


async def of(session: Session, claimed: Sequence[Claimed]) -> dict[str, Subject]:
    """By delivery id, of deliveries that are about cases."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, d.delivery_id, a.response_id AS told,
                        CAST(a.revisions AS text) AS revisions, k.tier AS known_tier, k.tags
                 FROM unnest(CAST(:ids AS text[]), CAST(:cases AS text[]), CAST(:answers AS text[]))
                      AS d(delivery_id, case_id, response_id)
                 JOIN notifier.cases c ON c.case_id = d.case_id
                 LEFT JOIN notifier.answers a ON a.store = c.store AND a.response_id = d.response_id
                 LEFT JOIN notifier.customers k ON k.store = c.store AND k.customer_ref = c.customer_ref"""),
        {
            "ids": [delivery.delivery_id for delivery in claimed],
            "cases": [delivery.case_id for delivery in claimed],
            "answers": [delivery.response_id for delivery in claimed],
        },
    )
    return {
        row.delivery_id: Subject(
            case_of(row),
            readable(row.told, row.revisions) if row.told else None,
            row.known_tier,
            tuple(row.tags or ()),
        )
        for row in rows
    }


async def compose(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    """By delivery id; one query of each kind, however many there are."""
    composed: dict[str, Message] = {}
    about_cases = [delivery for delivery in claimed if delivery.case_id is not None]
    if about_cases:
        composed |= await _of_cases(session, about_cases, shops)
    if len(about_cases) < len(claimed):
        about_notices = [delivery for delivery in claimed if delivery.case_id is None]
        composed |= await _of_notices(session, about_notices, shops)
    return composed


async def _of_cases(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    composed: dict[str, Message] = {}
    told = await of(session, claimed)
    for delivery in claimed:
        subject = told[delivery.delivery_id]
        composed[delivery.delivery_id] = CaseMessage(
            id=delivery.delivery_id,
            reason=delivery.reason,
            created_at=delivery.created_at,
            shop=shops[delivery.store],
            case=subject.case,
            answer=subject.answer,
            tier=subject.tier,
            tags=subject.tags,
            traceparent=delivery.traceparent,
        )
    return composed


async def _of_notices(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    ids = [delivery.notice_id for delivery in claimed if delivery.notice_id]
    known = await notices.by_ids(session, ids)
    gathered = [notice_id for notice_id in ids if known[notice_id].kind is notices.NoticeKind.DIGEST]
    listed = await _digests(session, gathered, shops)
    composed: dict[str, Message] = {}
    for delivery in claimed:
        notice = known[delivery.notice_id or ""]
        shop = shops[delivery.store]
        items, more = listed.get(notice.notice_id) or _items(notice, shop)
        digest = notice.notice_id in listed
        composed[delivery.delivery_id] = NoticeMessage(
            id=delivery.delivery_id,
            notice_id=notice.notice_id,
            kind=notice.kind.value,
            title=f"{len(items) + more} {notice.title}" if digest else notice.title,
            detail=notice.detail,
            path=notice.link,
            created_at=notice.created_at,
            shop=shop,
            items=items,
            more=more,
            traceparent=delivery.traceparent,
        )
    return composed


def _items(notice: notices.Notice, shop: Shop) -> tuple[tuple[Item, ...], int]:
    given = notice.detail.get("items") or []
    shown = given[: claims.MOST_NAMED]
    return (
        tuple(Item(str(item["text"]), absolute(str(item["link"]), shop)) for item in shown),
        len(given) - len(shown),
    )


async def _digests(
    session: Session, notice_ids: Sequence[str], shops: Mapping[str, Shop]
) -> dict[str, tuple[tuple[Item, ...], int]]:
    """The alerts of each digest, each a line with a link, and how many have none."""
    found = await claims.members(session, notice_ids)
    named = [member for _, members in found.values() for member in members]
    if not named:
        return dict.fromkeys(notice_ids, ((), 0))
    held = await cases.by_ids(session, {member.case_id for member in named})
    told = await answers.read(session, {(m.store, m.response_id) for m in named if m.response_id})
    lines: dict[str, tuple[tuple[Item, ...], int]] = {}
    for notice_id, (total, members) in found.items():
        items = []
        for member in members:
            case, answer = held[member.case_id], told.get((member.store, member.response_id or ""))
            shop = shops[member.store]
            link = absolute(f"/inbox/{case.case_id}", shop)
            items.append(Item(case_line(case, answer, who(case, answer)), link))
        lines[notice_id] = (tuple(items), total - len(items))
    return lines
