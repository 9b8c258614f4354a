"""The weekly report: the part of a store's `alerts` section that says who gets it."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from services.notifier.deliveries.settings import Fault, unknown_channels
from shared.config.stores import Name, Strict


class WeeklyReport(Strict):
    """Every Monday at 08:00 of the store: the week before, in ten lines."""

    channels: tuple[Name, ...] = Field((), description="Who gets it; nobody by default")


class ReportSettings(Strict):
    """This part of the section, mixed into it."""

    weekly_report: WeeklyReport = WeeklyReport()

    def report_faults(self, channels: Sequence[str]) -> Iterator[Fault]:
        """Channels that the section does not declare."""
        yield from unknown_channels(self.weekly_report.channels, channels, ("weekly_report", "channels"))
