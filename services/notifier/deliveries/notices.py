"""Notices: alerts that are about no case, but about a score, silence, a digest, a report or a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import text

from shared.db import Session
from shared.events import new_id


class NoticeKind(StrEnum):
    SCORE_FELL = "score_fell"
    SILENCE = "silence"
    DIGEST = "digest"
    REPORT = "report"
    TEST = "test"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice to be made.

    `detail` is shown by every channel: `text` (a sentence or several), `facts` (name to value, both short),
    `items` (a list of {"text", "link"}, at most 50 are shown). Other keys reach webhooks only.
    """

    notice_id: str
    """Chosen by the caller, so that the same thing is told once: `silence:demo:2026-11-22T10`."""
    store: str
    kind: NoticeKind
    title: str
    detail: Mapping[str, Any]
    link: str
    """An address, or a path such as `/inbox/report`, which is put behind the product's public address."""
    urgent: bool = False
    """Whether it passes quiet hours."""


@dataclass(frozen=True, slots=True)
class Notice:
    notice_id: str
    store: str
    kind: NoticeKind
    title: str
    detail: Mapping[str, Any]
    link: str
    urgent: bool
    created_at: datetime


async def add(
    session: Session,
    new: NewNotice,
    channels: Sequence[str],
    *,
    not_before: datetime | None = None,
    traceparent: str,
) -> bool:
    """A notice and its delivery to each of the channels; returns whether it is new.

    A notice that is there under its id stays as it is, and gets the channels that it lacks. Once the
    transaction is committed, ring the delivery loop, or it is sent within a second.
    """
    added = await session.execute(
        text("""INSERT INTO notifier.notices (notice_id, store, kind, title, detail, link, urgent)
                VALUES (:notice_id, :store, :kind, :title, CAST(:detail AS jsonb), :link, :urgent)
                ON CONFLICT DO NOTHING"""),
        {
            "notice_id": new.notice_id,
            "store": new.store,
            "kind": new.kind.value,
            "title": new.title,
            "detail": orjson.dumps(dict(new.detail)).decode(),
            "link": new.link,
            "urgent": new.urgent,
        },
    )
    if channels:
        now = datetime.now(UTC)
        await session.execute(
            text("""INSERT INTO notifier.deliveries
                        (delivery_id, store, notice_id, reason, channel, received_at, next_at, traceparent)
                    VALUES (:delivery_id, :store, :notice_id, :reason, :channel, :received_at, :next_at,
                            :traceparent)
                    ON CONFLICT ON CONSTRAINT deliveries_notice_once DO NOTHING"""),
            [
                {
                    "delivery_id": new_id(),
                    "store": new.store,
                    "notice_id": new.notice_id,
                    "reason": new.kind.value,
                    "channel": channel,
                    "received_at": now,
                    "next_at": not_before or now,
                    "traceparent": traceparent,
                }
                for channel in sorted(set(channels))
            ],
        )
    return added.rowcount > 0


def trial(store: str, channel: str, who: str) -> NewNotice:
    """The notice by which somebody sees that a channel works. It passes quiet hours."""
    title = f"Test of the channel {channel}"
    detail = {"text": "Alerts of unhappy customers will arrive here.", "facts": {"Sent by": who}}
    return NewNotice(
        f"test:{store}:{channel}:{new_id()}", store, NoticeKind.TEST, title, detail, "/inbox", urgent=True
    )


async def by_ids(session: Session, notice_ids: Sequence[str]) -> dict[str, Notice]:
    if not notice_ids:
        return {}
    rows = await session.execute(
        text("""SELECT notice_id, store, kind, title, detail, link, urgent, created_at
                FROM notifier.notices WHERE notice_id = ANY(CAST(:ids AS text[]))"""),
        {"ids": list(notice_ids)},
    )
    return {row.notice_id: Notice(**{**row._asdict(), "kind": NoticeKind(row.kind)}) for row in rows}
