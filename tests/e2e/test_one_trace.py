"""One answer is one trace, from the POST to the alert, over all four services."""

import asyncio
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.e2e.conftest import CONFIG, SIGNING_SECRET
from tests.e2e.eventually import eventually
from tests.e2e.product import SERVICES, Product
from tests.e2e.receiver import Receiver
from tests.e2e.shop import Shop
from tests.e2e.tracing import Span, TraceReceiver

CANARY = "canaryjane"
PERSON = {"id": f"{CANARY}-7", "email": f"{CANARY}@shop.example", "name": f"{CANARY} doe"}
STOP_SECONDS = 10


@pytest.fixture(scope="module")
async def traces() -> AsyncIterator[TraceReceiver]:
    async with TraceReceiver() as traces:
        yield traces


@pytest.fixture(scope="module")
async def alerts() -> AsyncIterator[Receiver]:
    async with Receiver() as alerts:
        yield alerts


@pytest.fixture(scope="module")
async def traced(
    tmp_path_factory: pytest.TempPathFactory, traces: TraceReceiver, alerts: Receiver
) -> AsyncIterator[Product]:
    """A product of its own, which is told where to send its spans."""
    product = Product(
        tmp_path_factory.mktemp("traced") / "home",
        config=CONFIG,
        CLOSELOOP_ALERTS_URL=alerts.url("/alerts"),
        CLOSELOOP_ALERTS_SECRET=SIGNING_SECRET,
        CLOSELOOP_SLACK_URL=alerts.url("/slack"),
        SCORER_PUBLISH_INTERVAL_SECONDS="0.2",
        SEGMENTER_PUBLISH_INTERVAL_SECONDS="0.2",
        OTEL_EXPORTER_OTLP_ENDPOINT=traces.url,
        OTEL_TRACES_SAMPLER_ARG="1",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    async with product.running():
        yield product


@pytest.fixture
async def shop(traced: Product) -> AsyncIterator[Shop]:
    async with Shop(traced.urls, traced.demo["secret_key"]) as shop:
        yield shop


def shape(spans: list[Span]) -> set[tuple[str, str, str]]:
    """(service, kind, name) of each."""
    return {(span.service.removeprefix("closeloop-"), span.kind, span.name) for span in spans}


ANSWERS, CASES, CUSTOMERS = "feedback.responses.v1", "feedback.cases.v1", "loyalty.customers.v1"
JOURNEY = {
    ("collector", "SERVER", "POST /v1/responses"),
    ("collector", "PRODUCER", f"send {ANSWERS}"),
    ("scorer", "CONSUMER", f"process {ANSWERS}"),
    ("segmenter", "CONSUMER", f"process {ANSWERS}"),
    ("segmenter", "PRODUCER", f"send {CUSTOMERS}"),
    ("scorer", "CONSUMER", f"process {CUSTOMERS}"),
    ("notifier", "CONSUMER", f"process {CUSTOMERS}"),
    ("notifier", "CONSUMER", f"process {ANSWERS}"),
    ("notifier", "PRODUCER", f"send {CASES}"),
    ("segmenter", "CONSUMER", f"process {CASES}"),
    ("notifier", "CLIENT", "deliver webhook"),
    ("notifier", "CLIENT", "deliver slack"),
}
PARENTS = {
    f"send {ANSWERS}": {"POST /v1/responses"},
    f"process {ANSWERS}": {f"send {ANSWERS}"},
    f"send {CASES}": {f"process {ANSWERS}"},
    "deliver webhook": {f"process {ANSWERS}"},
    "deliver slack": {f"process {ANSWERS}"},
    f"process {CASES}": {f"send {CASES}"},
    f"send {CUSTOMERS}": {f"process {ANSWERS}", f"process {CASES}"},
    f"process {CUSTOMERS}": {f"send {CUSTOMERS}"},
}


class TestOneAnswer:
    async def test_is_one_trace_up_to_the_alert(
        self, shop: Shop, traces: TraceReceiver, alerts: Receiver
    ) -> None:
        body = shop.body(1, customer=PERSON, comment=f"{CANARY} waited for weeks")
        said = await shop.post("/v1/responses", body)
        assert said.status_code == 202, said.text
        _, trace, root, flags = said.headers["traceparent"].split("-")
        assert flags == "01"

        def arrived() -> bool:
            assert shape(traces.of(trace)) >= JOURNEY, JOURNEY - shape(traces.of(trace))
            return True

        await eventually(arrived, within_seconds=60)
        spans = {span.id: span for span in traces.of(trace)}
        assert [span.id for span in spans.values() if not span.parent] == [root]
        for span in spans.values():
            if span.parent:
                assert spans[span.parent].name in PARENTS[span.name], span
        assert not [span for span in spans.values() if span.failed]

        (alert,) = alerts.about(said.json()["response_id"])
        (attempt,) = (span for span in spans.values() if span.name == "deliver webhook")
        assert alert.headers["traceparent"] == f"00-{trace}-{attempt.id}-01"
        assert attempt.attributes["closeloop.delivery.id"] == alert.id
        assert attempt.attributes["closeloop.delivery.status"] == 204

    async def test_goes_on_with_the_trace_of_whoever_posts_it(
        self, shop: Shop, traces: TraceReceiver
    ) -> None:
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        await shop.post("/v1/responses", shop.body(9), traceparent=f"00-{trace}-{parent}-01")
        await eventually(lambda: len(traces.of(trace)) >= 5)
        assert [span.name for span in traces.of(trace) if span.parent == parent] == ["POST /v1/responses"]

    async def test_whose_poster_does_not_sample_is_not_recorded(
        self, traced: Product, shop: Shop, traces: TraceReceiver
    ) -> None:
        trace = "1af7651916cd43dd8448eb211c80319c"
        said = await shop.post("/v1/responses", shop.body(9), traceparent=f"00-{trace}-b7ad6b7169203331-00")
        assert said.headers["traceparent"].split("-")[1] == trace
        assert said.headers["traceparent"].endswith("-00")
        await traced.caught_up()
        later = await shop.post("/v1/responses", shop.body(9))
        await eventually(lambda: len(traces.of(later.headers["traceparent"][3:35])) >= 5)
        assert traces.of(trace) == []

    async def test_leaves_nobodys_name_or_words_with_the_receiver(
        self, shop: Shop, traces: TraceReceiver
    ) -> None:
        await shop.amend("no-such-answer", comment=f"{CANARY}")
        await shop.customer(PERSON["id"])
        await shop.cases_of(PERSON)
        template = "GET /v1/customers/{"
        await eventually(lambda: [span for span in traces.spans if span.name.startswith(template)])
        assert [body for body in traces.raw if CANARY.encode() in body.lower()] == []


class TestAReceiverThatIsAway:
    """Last in this file: it does not come back."""

    async def test_disturbs_nothing_and_holds_up_no_stop(
        self, traced: Product, shop: Shop, traces: TraceReceiver, alerts: Receiver
    ) -> None:
        await traces.close()
        began = time.monotonic()
        said = [await shop.answer(0) for _ in range(50)]
        assert time.monotonic() - began < 15
        await eventually(lambda: all(alerts.about(one["response_id"]) for one in said), within_seconds=60)
        assert all([await traced.is_ready(service) for service in SERVICES])
        await eventually(lambda: all(traced.told(service, "tracing.not_sent") for service in SERVICES))
        assert [len(traced.told(service, "tracing.not_sent")) for service in SERVICES] == [1] * len(SERVICES)

        processes = [traced.process(service) for service in SERVICES]
        began = time.monotonic()
        for process in processes:
            process.terminate()
        _, left = await asyncio.to_thread(psutil.wait_procs, processes, STOP_SECONDS)
        assert not left, f"after {time.monotonic() - began:.0f} s: {left}"
