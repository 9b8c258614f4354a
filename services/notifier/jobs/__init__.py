"""What the clock starts: sending alerts, and waking cases whose snooze is over."""

from services.notifier.jobs.clock import Clock
from services.notifier.jobs.delivering import DeliveryLoop

__all__ = ["Clock", "DeliveryLoop"]
