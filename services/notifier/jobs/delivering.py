"""Send alerts: claim, send, write down."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from services.notifier.channels import BUILDERS, Attempt, Message, Sender
from services.notifier.domain import Breaker, delay_after
from services.notifier.settings import Alerts, NotifierSettings
from services.notifier.store import answers, cases, customers, deliveries
from services.notifier.store.deliveries import Claimed, Result, State, Target
from shared.db import Database, Session
from shared.ops import metrics
from shared.ops.logs import log

_log = log("notifier")

_IDLE_SECONDS = 1.0
_DRAIN_SECONDS = 2.5


class DeliveryLoop:
    """Claims what is due, sends it outside of any transaction, and writes down how it went.

    One round is one transaction: results of finished attempts, the next claims, and what their messages
    say. Every replica runs the loop; a claim is a lease, so two never hold the same delivery.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        alerts: Mapping[str, Alerts],
        settings: NotifierSettings,
    ) -> None:
        self._database = database
        self._sender = sender
        self._channels = {
            (store, name): channel
            for store, section in alerts.items()
            for name, channel in section.targets.items()
        }
        self._settings = settings
        self._breakers = {
            target: Breaker(
                first_seconds=30 * settings.retry_scale, longest_seconds=300 * settings.retry_scale
            )
            for target in self._channels
        }
        self._bell = asyncio.Event()
        self._stopping = False
        self._sends: dict[asyncio.Task[None], Claimed] = {}
        self._results: list[Result] = []

    def ring(self) -> None:
        """There may be something to send."""
        self._bell.set()

    async def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Until `stop`; then drain what is on its way, write it down, and let the rest go."""
        failures = 0
        while not self._stopping:
            self._bell.clear()
            try:
                wait = await self._round()
                failures = 0
                metrics.JOB_LAST_SUCCESS.labels("deliveries").set_to_current_time()
            except Exception as error:  # the database is away: results and rows wait
                failures += 1
                wait = min(5.0, 0.2 * 2 ** min(failures, 5))
                _log.warning("deliveries.round_failed", attempt=failures, exc_info=error)
                await asyncio.sleep(random.uniform(0.1, 0.2))
            if not self._stopping:
                await self._wait(wait)
        await self._drain()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass

    async def _round(self) -> float:
        """Record, claim, start sending. Returns how long there is nothing to do, unless the bell rings."""
        now = time.monotonic()
        free = self._free(now)
        results, self._results = self._results, []
        token = uuid4().hex
        try:
            async with self._database.transaction() as session:
                await deliveries.do_not_wait_for_disk(session)
                await deliveries.record(session, results)
                claimed = await deliveries.claim(
                    session,
                    free,
                    most=self._settings.sends_in_flight - len(self._sends),
                    token=token,
                    lease_seconds=self._settings.lease_seconds,
                )
                messages = await self._messages(session, claimed)
                left = {target for target, count in self._left(free, claimed).items() if count}
                wait = await deliveries.seconds_to_next(session, left) if left else None
        except BaseException:
            self._results = results + self._results
            raise
        send_until = now + self._settings.lease_seconds - self._settings.send_timeout_seconds
        for delivery in claimed:
            task = asyncio.create_task(self._send(delivery, messages.get(delivery.delivery_id), send_until))
            self._sends[task] = delivery
            task.add_done_callback(self._sent)
        return self._pause(now, wait)

    def _free(self, now: float) -> dict[Target, int]:
        """How many more deliveries of each target may be on their way, as far as it alone is concerned."""
        busy = Counter((delivery.store, delivery.channel) for delivery in self._sends.values())
        most = self._settings.sends_per_target
        free: dict[Target, int] = {}
        # In another order each time, so that when room is scarce no target is always served last.
        for target in random.sample(list(self._channels), len(self._channels)):
            count = self._breakers[target].free(now, in_flight=busy[target], most=most)
            if count > 0:
                free[target] = count
        return free

    def _left(self, free: Mapping[Target, int], claimed: Sequence[Claimed]) -> dict[Target, int]:
        taken = Counter((delivery.store, delivery.channel) for delivery in claimed)
        return {target: count - taken[target] for target, count in free.items()}

    def _pause(self, now: float, next_due: float | None) -> float:
        opening = [breaker.opens_in(now) for breaker in self._breakers.values()]
        soonest = min((seconds for seconds in opening if seconds > 0), default=_IDLE_SECONDS)
        waits = (_IDLE_SECONDS, soonest, _IDLE_SECONDS if next_due is None else next_due)
        return max(0.005, min(waits))

    async def _messages(self, session: Session, claimed: Sequence[Claimed]) -> dict[str, Message]:
        if not claimed:
            return {}
        held = await cases.by_ids(session, (delivery.case_id for delivery in claimed))
        told = await answers.read(session, {(d.store, d.response_id) for d in claimed})
        known = await customers.known(session, {(c.store, c.customer_ref) for c in held.values()})
        found = {}
        for delivery in claimed:
            case = held[delivery.case_id]
            customer = known.get((case.store, case.customer_ref), customers.Customer())
            found[delivery.delivery_id] = Message(
                id=delivery.delivery_id,
                reason=delivery.reason,
                created_at=delivery.created_at,
                case=case,
                answer=told.get((delivery.store, delivery.response_id)),
                tier=customer.tier,
                tags=customer.tags,
                case_url=f"{self._settings.base_url}/v1/cases/{case.case_id}",
                traceparent=delivery.traceparent,
            )
        return found

    async def _send(self, delivery: Claimed, message: Message | None, send_until: float) -> None:
        """One attempt. Its result is written down in the next round."""
        if message is None or time.monotonic() >= send_until:
            return  # paused for so long that the lease may be somebody else's: they send it
        target = (delivery.store, delivery.channel)
        channel = self._channels[target]
        try:
            request = BUILDERS[channel.kind](message, channel, datetime.now(UTC))
        except Exception as error:  # a message that cannot be built must not stop the others
            attempt = Attempt(None, 0.0, error=f"not built: {type(error).__name__}")
        else:
            attempt = await self._sender.send(channel.url, request)
        result = self._result(delivery, attempt)
        self._results.append(result)
        self._tell(delivery, attempt, result)

    def _result(self, delivery: Claimed, attempt: Attempt) -> Result:
        breaker = self._breakers[delivery.store, delivery.channel]
        wait: float | None = None
        if attempt.accepted:
            breaker.success()
            state = State.SENT
        else:
            if not attempt.gone:
                breaker.failure(time.monotonic())
                wait = delay_after(
                    delivery.attempt,
                    luck=random.random(),
                    retry_after_seconds=attempt.retry_after_seconds,
                    scale=self._settings.retry_scale,
                )
            state = State.DEAD if wait is None else State.PENDING
        return Result(
            delivery_id=delivery.delivery_id,
            token=delivery.token,
            state=state,
            wait_seconds=wait or 0.0,
            status=attempt.status,
            milliseconds=int(attempt.seconds * 1000),
            reply=attempt.reply,
            error=attempt.error,
        )

    def _tell(self, delivery: Claimed, attempt: Attempt, result: Result) -> None:
        kind = self._channels[delivery.store, delivery.channel].kind
        outcome = {State.SENT: "sent", State.DEAD: "dead"}.get(result.state, "failed")
        metrics.NOTIFICATIONS.labels(kind, outcome).inc()
        metrics.NOTIFICATION_DURATION.labels(kind).observe(attempt.seconds)
        if attempt.accepted:
            age = (datetime.now(UTC) - delivery.received_at).total_seconds()
            metrics.PIPELINE_LATENCY.labels("notified").observe(max(0.0, age))
        parts = delivery.traceparent.split("-")
        with structlog.contextvars.bound_contextvars(correlation_id=parts[1] if len(parts) == 4 else ""):
            say = _log.info if attempt.accepted else _log.warning
            say(
                f"alert.{outcome}",
                delivery_id=delivery.delivery_id,
                case_id=delivery.case_id,
                store=delivery.store,
                channel=delivery.channel,
                attempt=delivery.attempt,
                status=attempt.status,
                seconds=round(attempt.seconds, 3),
                reason=attempt.error or delivery.reason,
            )

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sends.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            _log.error("delivery.broke", exc_info=error)
        self._bell.set()

    async def _drain(self) -> None:
        """Within the grace: wait for what is on its way, then write down and give back."""
        waiting = dict(self._sends)
        if waiting:
            await asyncio.wait(waiting, timeout=_DRAIN_SECONDS)
        for task in waiting:
            task.cancel()
        tokens = {delivery.token for delivery in waiting.values()}
        try:
            async with self._database.transaction() as session:
                await deliveries.record(session, self._results)
                await deliveries.let_go(session, tokens)
        except Exception as error:  # the leases run out by themselves
            _log.warning("deliveries.not_let_go", count=len(waiting), exc_info=error)
