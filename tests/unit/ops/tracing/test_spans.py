"""A span goes on from the traceparent that came in, and gives the one to pass on."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.ops import tracing
from shared.ops.tracing import Kind
from tests.unit.ops.tracing.recording import Recorded, settings

PROJECT = Path(__file__).parents[4]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CAME_IN = f"00-{TRACE}-b7ad6b7169203331-01"
SDK = (
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "opentelemetry.proto",
    "google.protobuf",
    "requests",
    "shared.ops.tracing.otlp",
)
NOT_SAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


class TestWithoutAnEndpoint:
    def test_a_span_is_nothing_and_passes_on_what_came_in(self) -> None:
        tracing.start(settings(), "toy", "1")
        assert not tracing.started()
        with tracing.span("x", Kind.SERVER, CAME_IN, {"a": 1}, links=[CAME_IN]) as span:
            span.rename("y")
            span.put({"b": 2})
            span.fail("broken")
        assert span.traceparent == CAME_IN
        assert type(span) is tracing.Span
        tracing.stop()

    def test_it_hides_no_exception(self) -> None:
        with pytest.raises(KeyError), tracing.span("x", Kind.CLIENT, CAME_IN):
            raise KeyError("x")

    def test_work_of_our_own_still_has_a_trace(self) -> None:
        assert tracing.sampled(tracing.new_trace("clock"))

    def test_an_endpoint_that_is_disabled_is_none(self) -> None:
        tracing.start(settings(otel_exporter_otlp_endpoint="http://x", otel_sdk_disabled=True), "toy", "1")
        assert not tracing.started()

    @pytest.mark.parametrize("service", ["collector", "scorer", "segmenter", "notifier"])
    def test_no_service_imports_what_records_or_is_built_with_it(self, service: str) -> None:
        """FastAPI imports OpenTelemetry's interface by itself, also without us; the rest is never there."""
        program = f"""
import asyncio, json, os, sys
os.environ |= {{"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
               "CLOSELOOP_SECRET": "0" * 32, "CLOSELOOP_CONFIG": "closeloop.yaml",
               "CLOSELOOP_ALERTS_URL": "http://127.0.0.1:1/", "CLOSELOOP_ALLOW_PRIVATE_TARGETS": "1",
               "CLOSELOOP_ALERTS_SECRET": "whsec_dGhlIGpvdXJuZXlzIHNpZ24gd2l0aCB0aGlzIG9uZQ=="}}
from shared.service import serving
from shared.service.serving import Loops
built = []
async def build(make): built.append(make(Loops()))
serving.serve = lambda service, make, **_: asyncio.run(build(make))  # everything but to listen
import runpy
sys.argv = ["services.{service}", "serve"]
try:
    runpy.run_module("services.{service}", run_name="__main__")
except SystemExit:
    pass
app = getattr(built[0], "app", built[0])
hot = getattr(built[0], "_intake", None)
print(json.dumps([sorted(sys.modules), [type(hot).__name__, *(m.cls.__name__ for m in app.user_middleware)]]))
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        imported, parts = json.loads(done.stdout.splitlines()[-1])
        assert [name for name in imported if name.startswith(SDK)] == []
        assert parts[0] == ("Intake" if service == "collector" else "NoneType")
        assert "Gatekeeper" in parts
        assert "TracedRequests" not in parts


class TestASpan:
    def test_keeps_the_trace_and_names_itself_as_the_next_ones_parent(self, recorded: Recorded) -> None:
        with tracing.span("a", Kind.SERVER, CAME_IN) as a, tracing.span("b", Kind.CLIENT, a.traceparent) as b:
            pass
        inner, outer = recorded.spans()
        assert [f"{s.context.trace_id:032x}" for s in (inner, outer)] == [TRACE, TRACE]
        assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
        assert inner.parent.span_id == outer.context.span_id
        assert a.traceparent == f"00-{TRACE}-{outer.context.span_id:016x}-01"
        assert b.traceparent == f"00-{TRACE}-{inner.context.span_id:016x}-01"

    @pytest.mark.parametrize("broken", ["", "00-a-b-01", f"00-{'0' * 32}-{'1' * 16}-01", CAME_IN + "é", "ff"])
    def test_begins_a_trace_where_none_came_in(self, recorded: Recorded, broken: str) -> None:
        with tracing.span("a", Kind.SERVER, broken) as span:
            assert tracing.sampled(span.traceparent)
        assert recorded.spans()[0].parent is None

    def test_says_who_recorded_it(self, recorded: Recorded) -> None:
        with tracing.span("a", Kind.SERVER):
            pass
        resource = recorded.spans()[0].resource.attributes
        assert (resource["service.name"], resource["service.version"]) == ("closeloop-toy", "1.2.3")

    def test_fails_by_the_type_of_an_exception_without_its_text(self, recorded: Recorded) -> None:
        with pytest.raises(ValueError), tracing.span("a", Kind.CLIENT):
            raise ValueError("Canary Jane")
        span = recorded.spans()[0]
        assert span.attributes == {"error.type": "ValueError"}
        assert not span.status.is_ok
        assert "Canary" not in span.to_json()

    def test_leaves_out_links_that_are_none(self, recorded: Recorded) -> None:
        with tracing.span("a", Kind.INTERNAL, links=[CAME_IN, "nonsense"]):
            pass
        assert [f"{link.context.trace_id:032x}" for link in recorded.spans()[0].links] == [TRACE]


class TestSampling:
    def test_follows_a_caller_that_did_not_sample(self, recorded: Recorded) -> None:
        with tracing.span("a", Kind.SERVER, NOT_SAMPLED) as span:
            pass
        assert recorded.spans() == []
        assert span.traceparent[:36] == f"00-{TRACE}-"
        assert span.traceparent[36:] != NOT_SAMPLED[36:]
        assert not tracing.sampled(span.traceparent)

    @pytest.mark.parametrize("share", [0.25])
    def test_takes_its_share_of_what_begins_here_also_of_what_the_clock_starts(
        self, recorded: Recorded
    ) -> None:
        started = [tracing.new_trace("clock") for _ in range(1000)]
        taken = sum(map(tracing.sampled, started))
        assert 150 < taken < 350
        assert len(recorded.spans()) == taken

    @pytest.mark.parametrize("name", ["always_on", "always_off", "parentbased_always_off", "traceidratio"])
    def test_goes_by_the_standard_name(self, name: str) -> None:
        assert settings(otel_traces_sampler=name).otel_traces_sampler == name

    @pytest.mark.parametrize("wrong", [{"otel_traces_sampler": "some"}, {"otel_traces_sampler_arg": 1.5}])
    def test_refuses_what_it_does_not_know_at_boot(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValueError):
            settings(**wrong)


class TestAReceiverThatDoesNotAnswer:
    def test_holds_up_a_stop_no_longer_than_it_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            tracing.start(settings(otel_traces_sampler_arg=1.0), "toy", "1")
            assert tracing.started()
            began = time.monotonic()
            for _ in range(5000):  # more than the queue holds
                with tracing.span("a", Kind.SERVER):
                    pass
            assert time.monotonic() - began < 5, "nobody waits for it"
            began = time.monotonic()
            tracing.stop(0.3)
            assert time.monotonic() - began < 1
        assert not tracing.started()
