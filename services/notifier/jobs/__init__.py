"""What the clock starts: sending alerts, waking cases, counting, watching scores, and the weekly report."""

from services.notifier.jobs.clock import Clock
from services.notifier.jobs.delivering import DeliveryLoop
from services.notifier.jobs.figures import CaseFigures
from services.notifier.jobs.lanes import Lanes, lanes_of
from services.notifier.jobs.restoring import RestoreCheck
from services.notifier.jobs.watching import Watch
from services.notifier.jobs.weekly import WeeklyReport

__all__ = [
    "CaseFigures",
    "Clock",
    "DeliveryLoop",
    "Lanes",
    "RestoreCheck",
    "Watch",
    "WeeklyReport",
    "lanes_of",
]
