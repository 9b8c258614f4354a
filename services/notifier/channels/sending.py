"""The loop that sends alerts: it claims what is due, sends it, and records the results."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from services.notifier.channels.composing import compose
from services.notifier.channels.http import Attempt
from services.notifier.channels.lanes import Lanes
from services.notifier.channels.message import Message, Shop
from services.notifier.channels.outlets import Outlet
from services.notifier.deliveries import claims, store
from services.notifier.deliveries.claims import Claimed, Crowd, Result
from services.notifier.deliveries.settings import SendingSettings
from services.notifier.deliveries.store import State, Target
from shared.db import Database, Session
from shared.events.envelope import trace_id
from shared.jobs.rounds import RepeatedJob, backoff
from shared.ops import metrics, tracing
from shared.ops.logs import log
from shared.ops.tracing import Kind, names

_log = log("notifier")

_IDLE_SECONDS = 1.0
_SENDING_SECONDS = 0.2
_APART_SECONDS = 0.025
"""From the start of one round to the next: results and new alerts gather, and each round is a commit."""
_DRAIN_SECONDS = 2.5
_DIGEST_TITLE = "more alerts in ten minutes"


class DeliveryLoop(RepeatedJob):
    """Claims what is due, sends it outside of any transaction, and records how it went.

    One round is one transaction: results of finished attempts, what is put off or gathered into a digest,
    the next claims, and what their messages say. Every replica runs the loop; a claim is a lease, so two
    never hold the same delivery. Each channel has a lane of its own, so none waits for another's receiver.
    """

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        shops: Mapping[str, Shop],
        settings: SendingSettings,
    ) -> None:
        super().__init__("deliveries", every_seconds=_IDLE_SECONDS, apart_seconds=_APART_SECONDS)
        self._database = database
        self._lanes = lanes
        self._shops = shops
        self._settings = settings
        self._singles = {target: lane.singles for target, lane in lanes.items() if lane.singles}
        self._sends: dict[asyncio.Task[None], Claimed] = {}
        self._results: list[Result] = []
        self._pauses: dict[Target, float] = {}

    async def round(self) -> float:
        """Record, claim, start sending. Returns how long there is nothing to do, unless the bell rings."""
        now = time.monotonic()
        free = self._lanes.free(now)
        results, self._results = self._results, []
        pauses, self._pauses = self._pauses, {}
        try:
            async with self._database.transaction() as session:
                if await claims.begin(session):
                    free = {}
                await claims.record(session, results)
                await store.pause(session, pauses)
                await claims.put_off(session, self._lanes.quiet())
                free, crowded = await self._gather_digests(session, free)
                claimed = await claims.claim(
                    session,
                    free,
                    token=uuid4().hex,
                    lease_seconds=self._settings.lease_seconds,
                    crowded=crowded,
                )
                messages = await compose(session, claimed, self._shops)
                wait = await self._next_due(session, free, claimed)
        except BaseException:
            self._results = results + self._results
            self._pauses = pauses | self._pauses
            raise
        send_until = now + self._settings.lease_seconds - self._settings.send_timeout_seconds
        for delivery in claimed:
            self._start(delivery, messages[delivery.delivery_id], send_until)
        self._lanes.show_states(now)
        self.succeeded()
        return self._pause(now, wait)

    def failed(self, failures: int) -> float:
        return backoff(failures)

    async def _gather_digests(
        self, session: Session, free: Mapping[Target, int]
    ) -> tuple[dict[Target, int], Collection[Crowd]]:
        """Gather the alerts of crowded channels into digests.

        Returns how many deliveries each channel may still send, and the crowds whose alerts all join.
        """
        may_send, crowded = dict(free), set()
        singles_of_free = {target: singles for target, singles in self._singles.items() if target in free}
        for crowd, left in sorted((await claims.crowded(session, singles_of_free)).items()):
            target = crowd.target
            joined = await claims.gather(session, crowd, _DIGEST_TITLE, self._singles[target])
            if joined is None or left == 0:
                crowded.add(crowd)
            else:
                may_send[target] = min(may_send[target], left)
            if joined:
                metrics.DELIVERIES.labels(self._lanes[target].kind, "digested").inc(joined)
                _log.info("alerts.digested", store=target[0], channel=target[1], count=joined)
        return may_send, crowded

    async def _next_due(
        self, session: Session, free: Mapping[Target, int], claimed: Collection[Claimed]
    ) -> float | None:
        """Seconds until there is something to send for the channels that can send now.

        Whatever was claimed now rings the bell when it is sent: the round after that asks the database.
        """
        if claimed:
            return _SENDING_SECONDS
        return await claims.seconds_to_next(session, free) if free else None

    def _pause(self, now: float, next_due: float | None) -> float:
        waits = (_IDLE_SECONDS, self._lanes.soonest_opening(now), next_due)
        return max(0.005, min(wait for wait in waits if wait is not None))

    def _start(self, delivery: Claimed, message: Message, send_until: float) -> None:
        self._lanes[delivery.store, delivery.channel].busy += 1
        task = asyncio.create_task(self._send(delivery, message, send_until))
        self._sends[task] = delivery
        task.add_done_callback(self._sent)

    async def _send(self, delivery: Claimed, message: Message, send_until: float) -> None:
        """One attempt. Its result is recorded in the next round."""
        if time.monotonic() >= send_until:
            return  # paused for so long that the lease may be somebody else's: they send it
        lane = self._lanes[delivery.store, delivery.channel]
        try:
            attempt = await traced_attempt(lane.outlet, lane.kind, delivery, message)
        except Exception as error:  # a message that cannot be built must not stop the others
            _log.error("delivery.broke", delivery_id=delivery.delivery_id, exc_info=error)
            attempt = Attempt(None, 0.0, error=f"not built: {type(error).__name__}", final=True)
        now = time.monotonic()
        state, wait = lane.result_of(attempt, delivery.attempt, now)
        if pause := lane.opens_in(now):
            self._pauses[lane.target] = pause
        self._results.append(
            Result(
                delivery_id=delivery.delivery_id,
                token=delivery.token,
                state=state,
                wait_seconds=wait,
                status=attempt.status,
                milliseconds=int(attempt.seconds * 1000),
                reply=attempt.reply,
                error=attempt.error,
            )
        )
        _report_attempt(delivery, lane.kind, attempt, state)

    def _sent(self, task: asyncio.Task[None]) -> None:
        delivery = self._sends.pop(task)
        self._lanes[delivery.store, delivery.channel].busy -= 1
        self._bell.set()

    async def end(self) -> None:
        """Within the grace: wait for what is on its way, then record the results and give back the claims."""
        waiting = dict(self._sends)
        if waiting:
            await asyncio.wait(waiting, timeout=_DRAIN_SECONDS)
        for task in waiting:
            task.cancel()
        tokens = {delivery.token for delivery in waiting.values()}
        try:
            async with self._database.transaction() as session:
                await claims.record(session, self._results)
                await claims.let_go(session, tokens)
        except Exception as error:  # the leases run out by themselves
            _log.warning("deliveries.not_let_go", count=len(waiting), exc_info=error)


def _report_attempt(delivery: Claimed, kind: str, attempt: Attempt, state: State) -> None:
    """The attempt as metrics, and as a line of the log."""
    outcome = {State.SENT: "sent", State.DEAD: "dead"}.get(state, "failed")
    metrics.DELIVERIES.labels(kind, outcome).inc()
    metrics.DELIVERY_ATTEMPT.labels(kind).observe(attempt.seconds)
    if attempt.accepted:
        now = datetime.now(UTC)
        age_seconds = (now - delivery.created_at).total_seconds()
        metrics.DELIVERY_DURATION.labels(kind).observe(max(0.0, age_seconds))
        if delivery.case_id is not None:
            latency_seconds = (now - delivery.received_at).total_seconds()
            metrics.PIPELINE_LATENCY.labels("notified").observe(max(0.0, latency_seconds))
        elif delivery.reason == "digest":
            metrics.DIGESTS.labels(kind).inc()
    with structlog.contextvars.bound_contextvars(correlation_id=trace_id(delivery.traceparent)):
        log_line = _log.info if attempt.accepted else _log.warning
        log_line(
            f"alert.{outcome}",
            delivery_id=delivery.delivery_id,
            case_id=delivery.case_id,
            notice_id=delivery.notice_id,
            store=delivery.store,
            channel=delivery.channel,
            attempt=delivery.attempt,
            status=attempt.status,
            seconds=round(attempt.seconds, 3),
            reason=attempt.error or delivery.reason,
        )


async def traced_attempt(outlet: Outlet, kind: str, delivery: Claimed, message: Message) -> Attempt:
    """Send once. What arrives carries the attempt's own span. Raises what the outlet does."""
    attributes: dict[str, str | int] = {
        names.STORE: delivery.store,
        names.CHANNEL: delivery.channel,
        names.CHANNEL_KIND: kind,
        names.DELIVERY_ID: delivery.delivery_id,
        names.DELIVERY_REASON: delivery.reason,
        names.DELIVERY_ATTEMPT: delivery.attempt,
    }
    with tracing.span(f"deliver {kind}", Kind.CLIENT, delivery.traceparent, attributes) as span:
        if span.traceparent != message.traceparent:
            message = replace(message, traceparent=span.traceparent)
        attempt = await outlet.send(message, datetime.now(UTC))
        if attempt.status is not None:
            span.put({names.DELIVERY_STATUS: attempt.status})
        if not attempt.accepted:
            span.fail(attempt.error)
    return attempt
