"""How much memory clients may take with what they send: a budget for each connection, and one for all.

What is counted is counted where bytes come in, before anything reads them, and is given back when the request
to which they belong was answered. So no part of HTTP can be forgotten: heads, chunks with their extensions,
trailers, bodies, requests that wait behind another one.
"""

import time
from typing import Protocol

from shared.ops import metrics
from shared.ops.settings import ListenSettings

CONNECTION_BYTES = 8 * 1024
"""What the objects of a connection take (7 KB were measured), so that many idle ones count too."""

REQUEST_BYTES = 4 * 1024
"""What the objects of a request take beside its bytes, so that many short ones count too."""

FIELD_BYTES = 128
"""What the objects of a header field take beside its bytes."""

WAITING_REQUESTS = 8
"""How many requests of a connection may wait behind the one that is being answered; more get 503, a close.

Browsers and the clients of HTTP that we know send the next request after the answer.
"""

_ROOM = 1 / 16
_PAUSE_SECONDS = 0.05


class Client(Protocol):
    """A connection, as the budget sees it."""

    @property
    def weight(self) -> tuple[int, float]:
        """What it holds, in bytes; then how long it has been so, in seconds."""

    def give_up(self) -> None:
        """Let go of everything that nobody works on, and close; nothing if all of it is being worked on."""


class Budget:
    """The limits on what clients send, and the count of what they have sent; one object for each process."""

    def __init__(self, listen: ListenSettings) -> None:
        self.head_bytes = listen.head_limit_bytes
        self.head_fields = listen.head_limit_fields
        self.connection_bytes = listen.connection_buffer_bytes
        self.process_bytes = listen.process_buffer_bytes
        self.held = 0
        self._look_at = 0.0
        self._clients: set[Client] = set()
        metrics.HTTP_BUFFER.set_function(lambda: self.held)

    @property
    def is_full(self) -> bool:
        """Whether all clients together hold more than the process may."""
        return self.held > self.process_bytes

    def enter(self, client: Client) -> None:
        """A new connection."""
        self._clients.add(client)

    def leave(self, client: Client) -> bool:
        """A connection that is closed, or that holds nothing more; False when it had left before."""
        if client not in self._clients:
            return False
        self._clients.remove(client)
        return True

    def make_room(self, newest: Client) -> None:
        """Give up the connections that hold most, until some room is free; without room, the newest.

        So those who fill the budget lose by it, and a short request still gets in.
        """
        if time.monotonic() >= self._look_at:
            enough = self.process_bytes * (1 - _ROOM)
            for client in sorted(self._clients, key=lambda client: client.weight, reverse=True):
                if self.held <= enough:
                    return
                client.give_up()
            # The rest is being worked on: to look again at once would only take time.
            self._look_at = time.monotonic() + _PAUSE_SECONDS
        if self.is_full:
            newest.give_up()
