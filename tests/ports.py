"""Ports without a listener. Tests run side by side: a port that was free a moment ago may be in use now."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager


@contextmanager
def deserted(address: str = "127.0.0.1:0") -> Iterator[str]:
    """Reserve the port of an address, or a free one; connections to it are refused."""
    host, port = address.rsplit(":", 1)
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last owner may linger
        holder.bind((host, int(port)))
        yield f"{host}:{holder.getsockname()[1]}"
