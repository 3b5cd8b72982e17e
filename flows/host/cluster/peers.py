"""The other processes of a cluster: a handshake with them before anything is read, then signs of life.

Process 0 listens at its address until all others are there, compares what they have in common (``agreement.py``),
stops listening, and says whether they agree. Only then Bytewax takes the address. The connections stay open: once a
second each process gives process 0 a sign of life, and gets one that says who has been silent.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Final

from flows.host.cluster.agreement import Traits, differences
from flows.host.cluster.connection import (
    CONNECT_SECONDS,
    LINE_BYTES,
    Agreed,
    Alive,
    Hello,
    PeerConnection,
    Refused,
    host_and_port,
    listen_at,
    read_message,
    reason_of,
)
from flows.host.cluster.place import ProcessPlace
from flows.host.silence import LOOK_SECONDS

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 540.0
"""Bound on the wait for the other processes. A start has ten minutes, and this error says who is missing."""
PROGRESS_SECONDS: Final = 10.0
"""Time between two log lines while others are missing."""
RETRY_SECONDS: Final = 0.25
SILENT_SECONDS: Final = 5.0
"""A process that was silent for longer is reported: by process 0 after a look of a second, by the others after the next
message of process 0, so within ten seconds."""


class PeersError(Exception):
    """The processes of the cluster have not come together, or differ; the text says what to do."""


class Peers:
    """The other processes, as one of them sees them.

    Args:
        place: which process this is.
        traits: what the others must have too.
        on_silent: called with the number of silent processes whenever it changes.
        on_lost: called with the name of a process whose connection ends after the handshake.
        wait_seconds: bound on the handshake.
        run: name of this run; that of process 0 is the name of all.
    """

    def __init__(
        self,
        place: ProcessPlace,
        traits: Traits,
        on_silent: Callable[[int], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
        wait_seconds: float = HANDSHAKE_SECONDS,
        run: str = "",
    ) -> None:
        self._place = place
        self._traits = dict(traits)
        self._run_name = run
        self._on_silent = on_silent
        self._on_lost = on_lost
        self._wait_seconds = wait_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._serve, name="csq-peers", daemon=True)
        self._outcome: Future[None] = Future()
        self._decided = asyncio.Event()
        self._refusal = ""
        self._connected: dict[str, PeerConnection] = {}
        """At process 0 all others; at the others process 0."""
        self._reported: dict[str, float] = {}
        """Silent processes, as process 0 sees them."""
        self._silent: dict[str, float] = {}
        self._lost: set[str] = set()
        self._awaited = self._missing()
        self._ending = False

    def agree(self) -> str:
        """Wait for the other processes, and compare; then watch them until `end`. Returns the name of the run.

        Raises:
            PeersError: they differ, or are not there in time.
        """
        self._thread.start()
        try:
            self._outcome.result()
        except PeersError as error:
            log.error("%s", error, extra={"event": "peers_refused"})  # noqa: TRY400 - the text says it all
            raise
        count = self._place.processes
        log.info("%d processes agree on release, models and settings", count, extra={"event": "peers_agreed"})
        return self._run_name

    def obstacles(self) -> list[str]:
        """Reasons why the cluster is not ready."""
        if not self._outcome.done():
            return [self._awaited]
        ended = [f"{name} has ended, or cannot be reached" for name in sorted(self._lost)]
        return ended + [f"{name} has been silent for {seconds:.0f} s" for name, seconds in sorted(self._silent.items())]

    def end(self) -> None:
        """Close the connections."""
        self._ending = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(CONNECT_SECONDS)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    def _serve(self) -> None:
        """Run the link in its thread."""
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._run())
        except asyncio.CancelledError:
            self._fail(PeersError("stopped before the processes had come together"))
        except Exception as error:
            if not self._fail(error):
                log.exception("the link to the other processes has failed", extra={"event": "peers_failed"})

    def _fail(self, error: Exception) -> bool:
        """Let `agree` raise; `False` if it has returned."""
        if self._outcome.done():
            return False
        self._outcome.set_exception(error)
        return True

    async def _run(self) -> None:
        watching = asyncio.ensure_future(self._watch())
        progress = asyncio.ensure_future(self._log_progress())
        try:
            async with asyncio.timeout(self._wait_seconds):
                await (self._gather() if self._place.process == 0 else self._reach())
        except TimeoutError:
            raise PeersError(
                f"{self._place.name} has been {self._awaited} for {self._wait_seconds:g} s. Start all processes with "
                "the same --addresses; each must reach the address of p0"
            ) from None
        finally:
            progress.cancel()
        self._outcome.set_result(None)
        await watching

    async def _gather(self) -> None:
        """As process 0: take the connections of all others, and say whether they agree."""
        server = await asyncio.start_server(self._welcome, sock=await self._listen(), limit=LINE_BYTES)
        try:
            self._decide()
            await self._decided.wait()
        finally:
            server.close()  # before any process looks for Bytewax there
        for peer in self._connected.values():
            peer.send(Refused(self._refusal) if self._refusal else Agreed(self._run_name))
        if self._refusal:
            for peer in list(self._connected.values()):  # one may still come
                await peer.close()
            raise PeersError(self._refusal)

    async def _listen(self) -> socket.socket:
        address = self._place.addresses[0]
        while True:
            try:
                loop = asyncio.get_running_loop()
                return listen_at(await loop.getaddrinfo(*host_and_port(address), type=socket.SOCK_STREAM))
            except socket.gaierror as error:  # the name of a container may be registered after its start
                self._awaited = f"waiting for a name server to know {address}: {error.strerror}"
            except OSError as error:
                raise PeersError(
                    f"p0 cannot listen at {address}, where the others look for it: {reason_of(error)}. End the program "
                    "that uses the port, or correct --addresses"
                ) from None
            await asyncio.sleep(RETRY_SECONDS)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read what a process sends to process 0, from its first line to its end."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                hello = await read_message(reader)
        except TimeoutError:
            hello = None
        if isinstance(hello, Hello) and hello.process > 0:
            with suppress(asyncio.CancelledError):  # asyncio would log it as an error
                await self._take(PeerConnection(f"p{hello.process}", hello.traits, reader, writer))
            return
        log.warning(
            "p0 has closed a connection from %s, which is no process of this release that starts now",
            writer.get_extra_info("peername"),
            extra={"event": "peer_unknown"},
        )
        writer.close()

    async def _take(self, peer: PeerConnection) -> None:
        """Compare a process that has come, and read its signs of life."""
        known = self._connected.get(peer.name)
        if known is not None and known.silence.seconds < SILENT_SECONDS:
            peer.send(Refused(f"{peer.name} is running already: each process needs a --process-id of its own"))
            await peer.close()
            return
        self._connected[peer.name] = peer
        self._decide()
        async for _ in peer.messages():
            pass
        if self._decided.is_set():
            self._lose(peer.name)
        elif self._connected.get(peer.name) is peer:
            del self._connected[peer.name]

    def _decide(self) -> None:
        """Refuse as soon as one process differs; agree when all are there."""
        self._awaited = self._missing()
        lines = differences({"p0": self._traits} | {name: peer.traits for name, peer in self._connected.items()})
        if lines:
            listed = "".join(f"\n- {line}" for line in lines)
            self._refusal = (
                f"the processes of this cluster differ, so none of them reads anything:{listed}\n"
                "Install the same release and set the same values for all, then start them again"
            )
        if lines or len(self._connected) == self._place.processes - 1:
            self._decided.set()

    async def _reach(self) -> None:
        """As any other process: connect to process 0 until it is there, and wait for what it says."""
        while not self._decided.is_set():
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    streams = await asyncio.open_connection(*host_and_port(self._place.addresses[0]), limit=LINE_BYTES)
            except (OSError, TimeoutError) as error:
                self._awaited = f"{self._missing()}: {reason_of(error)}"
            else:
                await self._join(PeerConnection("p0", {}, *streams))
            await asyncio.sleep(0 if self._decided.is_set() else RETRY_SECONDS)

    async def _join(self, peer: PeerConnection) -> None:
        """Introduce this process; returns when process 0 has decided, or the connection has ended before."""
        self._connected = {peer.name: peer}
        self._awaited = "waiting for p0 to find all processes"
        peer.send(Hello(self._place.process, self._traits))
        following = asyncio.ensure_future(self._follow(peer))
        decided = asyncio.ensure_future(self._decided.wait())
        await asyncio.wait((following, decided), return_when=asyncio.FIRST_COMPLETED)
        decided.cancel()
        if self._refusal:
            raise PeersError(self._refusal)
        if not self._decided.is_set():
            self._connected = {}
            self._awaited = f"{self._missing()}, which closed the connection: it runs another release, or is restarting"
            await peer.close()

    async def _follow(self, peer: PeerConnection) -> None:
        """Take what process 0 says, until the connection ends."""
        async for message in peer.messages():
            match message:
                case Agreed(run=run):
                    self._run_name = run
                    self._decided.set()
                case Refused(text=text):
                    self._refusal = text
                    self._decided.set()
                case Alive(silent=silent, awaits=awaits):
                    self._reported = {name: seconds for name, seconds in silent.items() if name != self._place.name}
                    self._awaited = awaits or self._awaited
        if self._decided.is_set():
            self._lose(peer.name)

    async def _watch(self) -> None:
        """Give signs of life, and look who gives none."""
        while True:
            here = {name: peer.silence.look() for name, peer in self._connected.items() if name not in self._lost}
            silent = {name: seconds for name, seconds in here.items() if seconds >= SILENT_SECONDS}
            awaits = "" if self._decided.is_set() or self._place.process else self._awaited
            for peer in self._connected.values():
                peer.send(Alive(silent, awaits))
            self._note(self._reported | silent)
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, silent: dict[str, float]) -> None:
        before, self._silent = self._silent, silent
        for name in sorted(silent.keys() - before.keys()):
            log.warning("%s has been silent for %.0f s", name, silent[name], extra={"event": "peer_silent"})
        for name in sorted(before.keys() - silent.keys() - self._lost):
            log.info("%s gives signs of life again", name, extra={"event": "peer_back"})
        if silent.keys() != before.keys():
            self._on_silent(len(silent))

    def _lose(self, name: str) -> None:
        if not (self._ending or self._refusal):
            self._lost.add(name)
            self._on_lost(name)

    def _missing(self) -> str:
        addresses = dict(enumerate(self._place.addresses))
        needed = list(addresses)[1:] if self._place.process == 0 else [0]
        missing = [f"p{number} ({addresses[number]})" for number in needed if f"p{number}" not in self._connected]
        return f"waiting for {', '.join(missing)}"

    async def _log_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            log.info("%s", self._awaited, extra={"event": "peers_awaited"})
