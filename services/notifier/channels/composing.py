"""The messages of claimed deliveries, read in the transaction that claimed them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from services.notifier.cases.store import answers, cases
from services.notifier.cases.store.answers import readable
from services.notifier.cases.store.cases import COLUMNS, case_of
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage, Shop, absolute
from services.notifier.channels.wording import case_summary, customer_label
from services.notifier.deliveries import claims, notices
from services.notifier.deliveries.claims import Claimed
from shared.db import Session


async def compose(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    """The message of each delivery, by delivery id: a few queries, however many deliveries there are."""
    composed: dict[str, Message] = {}
    about_cases = [delivery for delivery in claimed if delivery.case_id is not None]
    if about_cases:
        composed |= await _case_messages(session, about_cases, shops)
    if len(about_cases) < len(claimed):
        about_notices = [delivery for delivery in claimed if delivery.case_id is None]
        composed |= await _notice_messages(session, about_notices, shops)
    return composed


async def _case_messages(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    """Each with its case, the answer behind the alert, and the customer's tier and tags of now."""
    rows = await session.execute(
        text(f"""SELECT {COLUMNS}, d.delivery_id, a.response_id AS answer_id,
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
    by_id = {delivery.delivery_id: delivery for delivery in claimed}
    return {row.delivery_id: _case_message(by_id[row.delivery_id], row, shops) for row in rows}


def _case_message(delivery: Claimed, row: Any, shops: Mapping[str, Shop]) -> CaseMessage:
    return CaseMessage(
        id=delivery.delivery_id,
        reason=delivery.reason,
        created_at=delivery.created_at,
        shop=shops[delivery.store],
        case=case_of(row),
        answer=readable(row.answer_id, row.revisions) if row.answer_id else None,
        tier=row.known_tier,
        tags=tuple(row.tags or ()),
        traceparent=delivery.traceparent,
    )


async def _notice_messages(
    session: Session, claimed: Sequence[Claimed], shops: Mapping[str, Shop]
) -> dict[str, Message]:
    ids = [delivery.notice_id for delivery in claimed if delivery.notice_id]
    notice_of = await notices.by_ids(session, ids)
    digests = [notice_id for notice_id in ids if notice_of[notice_id].kind is notices.NoticeKind.DIGEST]
    lines_of = await _digest_lines(session, digests, shops)
    composed: dict[str, Message] = {}
    for delivery in claimed:
        notice = notice_of[delivery.notice_id or ""]
        shop = shops[delivery.store]
        items, more = lines_of.get(notice.notice_id) or _items(notice, shop)
        is_digest = notice.notice_id in lines_of
        composed[delivery.delivery_id] = NoticeMessage(
            id=delivery.delivery_id,
            notice_id=notice.notice_id,
            kind=notice.kind.value,
            title=f"{len(items) + more} {notice.title}" if is_digest else notice.title,
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
    """The lines of a notice that are shown, and how many are not."""
    items = notice.detail.get("items") or []
    shown = items[: claims.MOST_NAMED]
    return (
        tuple(Item(str(item["text"]), absolute(str(item["link"]), shop)) for item in shown),
        len(items) - len(shown),
    )


async def _digest_lines(
    session: Session, notice_ids: Sequence[str], shops: Mapping[str, Shop]
) -> dict[str, tuple[tuple[Item, ...], int]]:
    """By digest: its alerts, each a line with a link, and how many alerts have no line."""
    members_of = await claims.members(session, notice_ids)
    named = [member for _, members in members_of.values() for member in members]
    if not named:
        return dict.fromkeys(notice_ids, ((), 0))
    case_of_id = await cases.by_ids(session, {member.case_id for member in named})
    answer_of_key = await answers.read(session, {(m.store, m.response_id) for m in named if m.response_id})
    lines: dict[str, tuple[tuple[Item, ...], int]] = {}
    for notice_id, (total, members) in members_of.items():
        items = []
        for member in members:
            case = case_of_id[member.case_id]
            answer = answer_of_key.get((member.store, member.response_id or ""))
            shop = shops[member.store]
            link = absolute(f"/inbox/{case.case_id}", shop)
            items.append(Item(case_summary(case, answer, customer_label(case, answer)), link))
        lines[notice_id] = (tuple(items), total - len(items))
    return lines
