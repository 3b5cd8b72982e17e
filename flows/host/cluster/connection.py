"""A connection between two processes of a cluster, and the messages on it: lines of JSON.

A client that reaches an address of a cluster can run code there anyway (``docs/operations.md``). A connection is only
protected from other programs that connect by mistake: by the length of a line, and by the time for the first one.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct

from flows.host.cluster.agreement import Traits
from flows.host.silence import Silence

CONNECT_SECONDS: Final = 5.0
"""Bound on one attempt to connect, and on the first line."""
LINE_BYTES: Final = 1 << 20
"""Bound on a line; the first one has some 5 KB."""
BACKLOG_BYTES: Final = 1 << 16
"""A process that reads nothing gets no more than this."""


class Hello(Struct, tag="hello"):
    """The first line of a process: its number and what it has in common with the others."""

    process: int
    traits: dict[str, str]


class Agreed(Struct, tag="agreed"):
    """All are there and agree."""

    run: str
    """Name of this run of the cluster."""


class Refused(Struct, tag="refused"):
    """The process may not go on."""

    text: str


class Alive(Struct, tag="alive"):
    """A sign of life; from process 0 with the seconds for which others have been silent, and whom it waits for."""

    silent: dict[str, float] = {}
    awaits: str = ""


Message = Hello | Agreed | Refused | Alive
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class PeerConnection:
    """A process at the other end of a connection."""

    def __init__(self, name: str, traits: Traits, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.traits = traits
        self.silence = Silence()
        self._reader = reader
        self._writer = writer

    def send(self, message: Message) -> None:
        """Send a line, unless the process reads nothing."""
        if self._writer.transport.get_write_buffer_size() < BACKLOG_BYTES:
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def messages(self) -> AsyncIterator[Message]:
        """What it sends, until the connection ends or another program answers."""
        try:
            while (message := await read_message(self._reader)) is not None:
                self.silence.heard()
                yield message
        finally:
            self._writer.close()

    async def close(self) -> None:
        """Close after what was sent."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message; `None` at the end of the connection, or if the line is none."""
    try:
        return _decoder.decode(await reader.readline())
    except (OSError, ValueError):  # a line that is too long, or is no message
        return None


def listen_at(found: Sequence[tuple[Any, ...]]) -> socket.socket:
    """Listen at the first address that is one of this machine."""
    for number, (family, *_, address) in enumerate(found):
        try:
            return socket.create_server(address[:2], family=family)
        except OSError:
            if number == len(found) - 1:
                raise
    raise socket.gaierror(socket.EAI_NONAME, "no address")


def reason_of(error: BaseException) -> str:
    """What the system says of an address."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number is not None and number > 0 else str(error) or "no answer"


def host_and_port(address: str) -> tuple[str, int]:
    """The host and port of an address.

    >>> host_and_port("10.0.0.1:9200"), host_and_port("[::1]:9200")
    (('10.0.0.1', 9200), ('::1', 9200))
    """
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
