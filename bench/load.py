"""A closed-loop HTTP/1.1 load generator that costs little: one process, raw sockets, epoll.

`python -m bench.load PORT CONNECTIONS SECONDS KEY RUN` keeps one request on each keep-alive connection, all
with ids of their own, and prints a line of JSON. A latency runs from the send to the last byte of the answer.
"""

import json
import select
import socket
import sys
import time
from collections import Counter

from bench.percentiles import percentile
from bench.posts import request_template

_STALLED_SECONDS = 15.0


class _Client:
    __slots__ = ("partial", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.partial = b""
        self.sent_at = 0.0


def is_whole(data: bytes) -> bool:
    """Whether it is an HTTP response with its whole body."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 : (head.find(b"\r", at) + 1 or end + 1) - 1]) if at >= 0 else 0
    return len(data) >= end + 4 + length


def drive(port: int, connections: int, seconds: float, key: str, run: str) -> dict[str, object]:
    """Load one server; every request that was sent is waited for, so that all may be counted."""
    template = request_template(key, run)
    poll = select.epoll()
    clients: dict[int, _Client] = {}
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    refusal = ""
    number = 0
    clock = time.perf_counter

    def send(client: _Client) -> None:
        nonlocal number
        number += 1
        client.sent_at = clock()
        client.socket.sendall(template % (number, number, number, number))

    for _ in range(connections):
        client = _Client(port)
        clients[client.socket.fileno()] = client
        poll.register(client.socket.fileno(), select.EPOLLIN)
    own = time.process_time()
    started = clock()
    deadline = started + seconds
    for client in clients.values():
        send(client)
    busy = connections
    while busy:
        ready = poll.poll(_STALLED_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer for {_STALLED_SECONDS} s")
        for descriptor, _ in ready:
            client = clients[descriptor]
            data = client.socket.recv(65536)
            if not data:
                raise ConnectionError("the server hung up")
            if client.partial:
                data = client.partial + data
            if not is_whole(data):
                client.partial = data
                continue
            now = clock()
            client.partial = b""
            latencies.append(now - client.sent_at)
            status = data[9:12].decode()
            statuses[status] += 1
            if status != "202" and not refusal:
                refusal = data[-300:].decode(errors="replace")
            if now < deadline:
                send(client)
            else:
                busy -= 1
    elapsed, own = clock() - started, time.process_time() - own
    accepted = statuses["202"]
    return {
        "accepted": accepted,
        "statuses": dict(statuses),
        "refusal": refusal,
        "requests_a_second": accepted / elapsed,
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "own_cpu_us": own / max(1, accepted) * 1e6,
    }


if __name__ == "__main__":
    port, connections, seconds, key, run = sys.argv[1:]
    sys.stdout.write(json.dumps(drive(int(port), int(connections), float(seconds), key, run)) + "\n")
