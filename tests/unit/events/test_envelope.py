"""The headers of an event."""

from datetime import UTC, datetime

from shared.events.envelope import Envelope, Stamp

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


class TestTheStamp:
    def test_reads_as_an_envelope(self) -> None:
        trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        envelope = Envelope.read(Stamp("response.submitted.v1", source="/collector").headers(NOW, trace))
        assert (envelope.type, envelope.source) == ("response.submitted.v1", "/collector")
        assert datetime.fromisoformat(envelope.time) == NOW
        assert envelope.correlation_id == "0af7651916cd43dd8448eb211c80319c"
        names = {name for name, _ in Envelope.of("x", source="/y").headers()}
        assert {name for name, _ in Stamp("x", source="/y").headers(NOW, trace)} == names
