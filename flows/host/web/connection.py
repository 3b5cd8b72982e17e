"""Connections of the web server: their maximum number, and a time limit for each state of a connection.

uvicorn has no time limit for the head of a request or for a TLS handshake, and its limit on connections would reject
the scraper while idle connections stay. So `Connection` limits the time of each state, and `ConnectionLimiter` closes a
connection of the address that has most of them when there are too many.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from flows.host.web.config import LoadedConfig
from flows.host.web.turns import client_of

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 256
"""Maximum number, handshakes included: a quarter of the usual limit of file descriptors."""
EARLY_BYTES: Final = 65_536
"""Maximum number of bytes that arrive while the handshake ends."""


class Wait(Enum):
    """States of a connection, with their time limits in seconds."""

    HEAD = 10.0
    """The handshake, and the head of a request from its first byte on."""
    ANSWER = 30.0
    """The answer, until the client has read it."""
    NEXT = 75.0
    """The next request: longer than Prometheus' usual interval, so one connection serves all scrapes. uvicorn closes an
    idle connection after `KEEP_ALIVE_SECONDS`; a client that keeps it open is disconnected after this limit."""


KEEP_ALIVE_SECONDS: Final = 65


class ConnectionLimiter:
    """Limits the connections of one server; `current` returns how new ones are secured."""

    def __init__(self, current: Callable[[], LoadedConfig], limit: int = MAX_CONNECTIONS) -> None:
        self.current = current
        self._limit = limit
        self._inside: dict[Connection, None] = {}

    def __call__(self, **uvicorn: Any) -> "Connection":  # noqa: ANN401 - uvicorn's own arguments, handed through
        """Make the protocol of a new connection; uvicorn calls this as its class of protocols."""
        return Connection(self, **uvicorn)

    def admit(self, connection: "Connection") -> None:
        """Add a connection; if there are too many, close one of the address that has most."""
        self._inside[connection] = None
        if len(self._inside) > self._limit:
            self._surplus().end()

    def _surplus(self) -> "Connection":
        """A connection that waits for its client, the one that has waited longest; if all are answered, the newest."""
        counts = Counter(connection.origin for connection in self._inside)
        most = max(counts.values())
        crowd = [connection for connection in self._inside if counts[connection.origin] == most]
        waiting = [connection for connection in crowd if connection.waits_for is not Wait.ANSWER]
        # A client that was answered before is more likely to be the scraper than one without a request.
        return min(waiting, key=lambda other: (other.answered, other.since), default=crowd[-1])

    def forget(self, connection: "Connection") -> None:
        """Remove a connection that has ended."""
        self._inside.pop(connection, None)

    def end_waiting(self) -> None:
        """End all connections but those that are being answered; from any thread."""
        loops = {connection.loop for connection in list(self._inside)}
        for loop in loops:
            with suppress(RuntimeError):  # it has ended, and they with it
                loop.call_soon_threadsafe(self._end_waiting)

    def _end_waiting(self) -> None:
        for connection in list(self._inside):
            if connection.waits_for is not Wait.ANSWER:
                connection.end()


class Connection(H11Protocol):
    """One client, from the accepted socket on: TLS where it is set, then uvicorn's HTTP/1.1."""

    def __init__(self, limiter: ConnectionLimiter, **uvicorn: Any) -> None:  # noqa: ANN401 - as above
        super().__init__(**uvicorn)
        self.waits_for = Wait.HEAD
        self.answered = False
        self.origin = ""
        """The address of the client, as `client_of` counts it."""
        self.since = self.loop.time()
        """When it began to wait, on the loop's clock."""
        self._limiter = limiter
        self._socket: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._begun = False
        self._early = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Begin with the plain socket."""
        self._socket = transport
        self.origin = client_of((transport.get_extra_info("peername") or ("",))[0])
        self._wait_for(Wait.HEAD)
        self._limiter.admit(self)
        if transport.is_closing():
            return
        now = self._limiter.current()
        if now.tls is None:
            self._begin(transport)
            return
        transport.pause_reading()  # the bytes that arrive are for TLS, which begins now
        self._handshake = self.loop.create_task(self._shake_hands(transport, now.tls, now.allowed_sans))

    async def _shake_hands(
        self, transport: asyncio.Transport, context: ssl.SSLContext, allowed_sans: frozenset[str]
    ) -> None:
        try:
            secured = await self.loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=Wait.HEAD.value
            )
        except OSError as error:  # also TLS errors: another version, no certificate, a client without TLS
            log.debug("TLS: %s", error)
            self._done()
            return
        if not isinstance(secured, asyncio.Transport):
            self._done()
            return
        if allowed_sans and allowed_sans.isdisjoint(_names(secured)):
            log.debug("TLS: no name of the client's certificate is in client_allowed_sans")
            secured.abort()
            return
        self._begin(secured)

    def _begin(self, transport: asyncio.Transport) -> None:
        """Begin HTTP."""
        super().connection_made(transport)
        self._begun = True
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first of a request start the clock for its head."""
        if not self._begun:  # they arrived with the end of the handshake
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.end()
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            if not self.cycle.response_complete:
                self._wait_for(Wait.ANSWER)
        elif self.waits_for is Wait.NEXT:
            self._wait_for(Wait.HEAD)

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read this answer."""
        self.answered = True
        before = self.cycle
        super().on_response_complete()
        if self.cycle is not before:  # the next one was waiting already
            self._wait_for(Wait.ANSWER)
        elif self.transport.get_write_buffer_size() == 0:
            self._wait_for(Wait.NEXT)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove it from the limiter."""
        self._done()
        if self._begun:
            super().connection_lost(exc)

    def end(self) -> None:
        """Close at once, in any state."""
        if self._handshake is not None:
            self._handshake.cancel()
        if self._socket is not None:
            self._socket.abort()
        self._done()

    def _wait_for(self, what: Wait) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self.waits_for, self.since = what, self.loop.time()
        self._limit = self.loop.call_later(what.value, self._too_late)

    def _too_late(self) -> None:
        read = self._begun and self.transport.get_write_buffer_size() == 0
        if self.waits_for is Wait.ANSWER and self.cycle.response_complete and read:  # a slow client is done
            self._wait_for(Wait.NEXT)
        else:
            self.end()

    def _done(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limiter.forget(self)


def _names(transport: asyncio.BaseTransport) -> set[str]:
    """The alternative names in a client's certificate: DNS, e-mail, IP, URI."""
    return {value for _, value in transport.get_extra_info("peercert").get("subjectAltName", ())}
