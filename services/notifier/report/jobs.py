"""The weekly report: every Monday at 08:00 of a store, the week before goes to its channels in ten lines."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from services.notifier.deliveries import notices
from services.notifier.deliveries.notices import NewNotice, NoticeKind
from services.notifier.report.domain import week_before
from services.notifier.report.figures import build_report
from services.notifier.report.query import ReportQuery
from services.notifier.report.wording import ten_lines
from shared.config.stores import Store
from shared.db import Database
from shared.jobs.rounds import LeasedClockJob
from shared.ops import tracing
from shared.ops.logs import log

_log = log("notifier")

_HOUR = 8
_LATEST = timedelta(hours=24)
"""After a longer absence the report of the week is not sent any more: it would come as if it were news."""


class WeeklyReport(LeasedClockJob):
    """Sends each store's report once for an ISO week, whatever crashes.

    The id of the notice, `report:<store>:<week>`, says which weeks were sent. `channels`: by store, the
    channels that get it and are on.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Sequence[str]],
        stores: Mapping[str, Store],
        *,
        every_seconds: float = 60,
    ) -> None:
        super().__init__(database, "notifier", "weekly", every_seconds=every_seconds)
        self._channels = channels
        self._stores = stores
        self._last_sent: dict[str, str] = {}

    async def work(self) -> None:
        await self.send_due(datetime.now(UTC))

    async def send_due(self, now: datetime) -> list[str]:
        """Send the reports that are due at `now`; returns the ids of the notices that are new."""
        sent = []
        for name, channels in self._channels.items():
            if not channels or not _due(now, self._stores[name]):
                continue
            period = week_before(now, self._stores[name].zone)
            notice_id = f"report:{name}:{period.name}"
            if self._last_sent.get(name) != notice_id and await self._send(name, notice_id, channels, now):
                sent.append(notice_id)
            self._last_sent[name] = notice_id
        return sent

    async def _send(self, name: str, notice_id: str, channels: Sequence[str], now: datetime) -> bool:
        """Whether the notice is new; another replica may have sent it."""
        store_config = self._stores[name]
        period = week_before(now, store_config.zone)
        async with self._database.snapshot() as session:
            if await notices.by_ids(session, [notice_id]):
                return False
            report = await build_report(session, ReportQuery(name, period, now), store_config)
        lines = ten_lines(report, store_config)
        first = period.start.astimezone(store_config.zone)
        title = f"{store_config.name}: closing the loop, week {period.name[-2:]} ({first.day} {first:%B %Y})"
        notice = NewNotice(
            notice_id,
            name,
            NoticeKind.REPORT,
            title,
            {
                "text": lines[0][0],
                "items": [{"text": text, "link": link} for text, link in lines[1:]],
                "week": period.name,
            },
            lines[0][1],
        )
        async with self._database.transaction() as session:
            added = await notices.add(
                session, notice, channels, traceparent=tracing.new_trace("weekly report")
            )
        if added:
            _log.info("report.sent", store=name, notice_id=notice_id, week=period.name)
        return added


def _due(now: datetime, store_config: Store) -> bool:
    """Whether it is Monday after 08:00 in the store's zone, or not much later."""
    local = now.astimezone(store_config.zone)
    monday = (local - timedelta(days=local.weekday())).replace(
        hour=_HOUR, minute=0, second=0, microsecond=0, fold=0
    )
    return timedelta() <= now - monday.astimezone(UTC) < _LATEST
