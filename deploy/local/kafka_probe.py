"""Ask a Kafka broker, without a client library, which brokers are alive.

A listening socket is no sign of readiness: the broker opens it before it may lead a partition.
Speaks Metadata version 1 of the Kafka protocol, which Kafka 0.10 to 4.x answer.
"""

import socket
import struct

METADATA, VERSION, CORRELATION = 3, 1, 77
CLIENT = b"closeloop-probe"
NO_TOPICS = struct.pack(">i", 0)


def alive_brokers(host: str, port: int, *, timeout_seconds: float = 2.0) -> list[int]:
    """The ids of the brokers that this one knows to be alive; empty if it does not answer in time."""
    header = struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(CLIENT)) + CLIENT
    request = header + NO_TOPICS
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _read(connection, 4))
            return _broker_ids(_read(connection, min(size, 1 << 20)))
    except (OSError, struct.error, EOFError):
        return []


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def _broker_ids(body: bytes) -> list[int]:
    """`correlation int32, brokers [id int32, host string, port int32, rack nullable string], ...`."""
    (count,) = struct.unpack_from(">i", body, 4)
    offset, ids = 8, []
    for _ in range(count):
        (broker,) = struct.unpack_from(">i", body, offset)
        ids.append(broker)
        (host_length,) = struct.unpack_from(">h", body, offset + 4)
        offset += 4 + 2 + host_length + 4
        (rack_length,) = struct.unpack_from(">h", body, offset)
        offset += 2 + max(rack_length, 0)
    return ids
