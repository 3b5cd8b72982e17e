"""Turns: one check of a password at a time, shared fairly by the addresses that ask for one.

A queue for all would be as long as the one who guesses makes it. So each client address has a short queue of its own,
and the next turn goes to the address that had none for the longest time: a new address waits for one check, however
many others wait.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final

PER_CLIENT: Final = 8
"""Requests of one address that may wait."""
WAITING: Final = 256
"""Requests of all addresses that may wait: as many as there are connections."""
SERVED_KEPT: Final = 1_024
"""Addresses whose last turn is remembered."""


class TooManyWaitingError(Exception):
    """The queue of this client is full."""


class ClientTurns:
    """Gives one turn at a time; serves one event loop."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._served: OrderedDict[str, None] = OrderedDict()
        """Addresses that had a turn, the last one at the end."""
        self._busy = False

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn of `client`; it lasts as long as the ``async with`` block.

        Raises:
            TooManyWaitingError: too many requests of this client wait, now or since it came.
        """
        if self._busy:
            await self._wait(client)
        self._busy = True
        self._note(client)
        try:
            yield
        finally:
            self._give()

    async def _wait(self, client: str) -> None:
        queue = self._queues.get(client, deque())
        if len(queue) >= PER_CLIENT or not self._make_room(len(queue)):
            raise TooManyWaitingError
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        self._queues[client] = queue
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # the turn came at the same moment
                self._give()
            raise

    def _make_room(self, own: int) -> bool:
        """Where too many wait, the last of the longest queue is refused; not for a queue that is as long."""
        if sum(map(len, self._queues.values())) < WAITING:
            return True
        longest = max(self._queues.values(), key=len)
        if len(longest) <= own + 1:
            return False
        last = longest.pop()
        if not last.done():
            last.set_exception(TooManyWaitingError)
        return True

    def _give(self) -> None:
        """Give the turn to the next request; who left meanwhile is passed over."""
        self._busy = False
        order = {client: number for number, client in enumerate(self._served)}
        while self._queues and not self._busy:
            client = min(self._queues, key=lambda each: order.get(each, -1))
            place = self._queues[client].popleft()
            if not self._queues[client]:
                del self._queues[client]
            if not place.done():
                self._busy = True
                place.set_result(None)

    def _note(self, client: str) -> None:
        self._served[client] = None
        self._served.move_to_end(client)
        if len(self._served) > SERVED_KEPT:
            self._served.popitem(last=False)


def client_of(host: str) -> str:
    """The address that a client counts as; of IPv6 the network of 64 bits, which one machine has for itself.

    >>> client_of("192.0.2.1"), client_of("::ffff:192.0.2.1"), client_of("2001:db8::1:2:3:4"), client_of("testclient")
    ('192.0.2.1', '192.0.2.1', '2001:db8::/64', 'testclient')
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
