"""Send an event of a route that is not hot, and wait until Kafka has it."""

from typing import Any

from services.collector.settings import SOURCE
from shared.events import Event, encode
from shared.http.problems import unavailable
from shared.kafka import NotAcknowledged, Producer


class Publisher:
    """Events as models; `responses/accept.py` writes the submitted answer itself, for speed."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def publish(self, event: Event, traceparent: str, **ids: Any) -> None:
        """Return when all in-sync replicas have the event.

        Raises Problem 503 with `ids`, the ids with which the client may send the same again.
        """
        key, value, headers = encode(event, source=SOURCE, traceparent=traceparent)
        try:
            await self._producer.send(event.topic.name, key, value, headers)
        except NotAcknowledged:
            detail = "Kafka did not confirm the record. Send it again with the same id: it counts once."
            raise unavailable(detail, **ids) from None
