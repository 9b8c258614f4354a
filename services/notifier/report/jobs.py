"""Every Monday at 08:00 of the store: the week before, in ten lines."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from services.notifier.deliveries import notices
from services.notifier.deliveries.notices import Kind, New
from services.notifier.report.domain import week_before
from services.notifier.report.figures import Asked, build
from services.notifier.report.wording import ten_lines
from services.notifier.settings import Alerts
from shared.config.stores import Store
from shared.db import Database
from shared.jobs.rounds import LeasedClockJob
from shared.ops import tracing
from shared.ops.logs import log

_log = log("notifier")

_HOUR = 8
_LATE = timedelta(hours=24)
"""After a longer absence the week is not told any more: it would come as if it were news."""


class WeeklyReport(LeasedClockJob):
    """Sent once for a store and ISO week, whatever crashes: the notice's id is `report:<store>:<week>`."""

    def __init__(
        self,
        database: Database,
        alerts: Mapping[str, Alerts],
        stores: Mapping[str, Store],
        *,
        every_seconds: float = 60,
    ) -> None:
        super().__init__(database, "notifier", "weekly", every_seconds=every_seconds)
        self._channels = {
            name: [channel for channel in section.weekly_report.channels if channel in section.targets]
            for name, section in alerts.items()
        }
        self._stores = stores
        self._told: dict[str, str] = {}

    async def work(self) -> None:
        await self.tell(datetime.now(UTC))

    async def tell(self, now: datetime) -> list[str]:
        """Send what is due at `now`; returns the ids of the notices that are new."""
        sent = []
        for name, channels in self._channels.items():
            if not channels or not _due(now, self._stores[name]):
                continue
            period = week_before(now, self._stores[name].zone)
            notice_id = f"report:{name}:{period.name}"
            if self._told.get(name) != notice_id and await self._send(name, notice_id, channels, now):
                sent.append(notice_id)
            self._told[name] = notice_id
        return sent

    async def _send(self, name: str, notice_id: str, channels: list[str], now: datetime) -> bool:
        store = self._stores[name]
        period = week_before(now, store.zone)
        async with self._database.snapshot() as session:
            if await notices.by_ids(session, [notice_id]):
                return False
            report = await build(session, Asked(name, period, now), store)
        lines = ten_lines(report, store)
        first = period.start.astimezone(store.zone)
        title = f"{store.name}: closing the loop, week {period.name[-2:]} ({first.day} {first:%B %Y})"
        new = New(
            notice_id,
            name,
            Kind.REPORT,
            title,
            {
                "text": lines[0][0],
                "items": [{"text": text, "link": link} for text, link in lines[1:]],
                "week": period.name,
            },
            lines[0][1],
        )
        async with self._database.transaction() as session:
            added = await notices.add(session, new, channels, traceparent=tracing.new_trace("weekly report"))
        if added:
            _log.info("report.sent", store=name, notice_id=notice_id, week=period.name)
        return added


def _due(now: datetime, store: Store) -> bool:
    """Whether it is Monday after 08:00 there, or not much later."""
    local = now.astimezone(store.zone)
    monday = (local - timedelta(days=local.weekday())).replace(
        hour=_HOUR, minute=0, second=0, microsecond=0, fold=0
    )
    return timedelta() <= now - monday.astimezone(UTC) < _LATE
