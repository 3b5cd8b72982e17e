"""The place of a process in a cluster: its number, the addresses of all, and checks of both."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.settings.model import Settings
from operators.connectors.kafka.sink import PARTS


class ClusterError(Exception):
    """The number or addresses of the processes are wrong; the text says what to do."""


class PeerLostError(Exception):
    """Another process has ended, or cannot be reached."""


@dataclass(frozen=True)
class ProcessPlace:
    """One process of those that share the lanes. Without addresses it is the only one.

    >>> ProcessPlace(1, ("10.0.0.1:9200", "10.0.0.2:9200")).name
    'p1'
    >>> ProcessPlace().processes
    1
    """

    process: int = 0
    addresses: tuple[str, ...] = ()
    """host:port of every process, in order of their numbers, for the traffic between them."""

    @property
    def processes(self) -> int:
        """Number of processes."""
        return max(len(self.addresses), 1)

    @property
    def name(self) -> str:
        """Its name in ticks, logs and the models topic."""
        return f"p{self.process}"


ALONE = ProcessPlace()


def place_of(process: int, addresses: str) -> ProcessPlace:
    """Read ``--process-id`` and ``--addresses`` (``host:port,host:port``, the same in every process).

    >>> place_of(2, "a:1,b:1")
    Traceback (most recent call last):
    ClusterError: process 2 of 2: --process-id counts from 0 to 1, one for each of the --addresses

    Raises:
        ClusterError: they do not fit together.
    """
    listed = tuple(address.strip() for address in addresses.replace(";", ",").split(",") if address.strip())
    for address in listed:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ClusterError(f"--addresses: got {address!r}, expected host:port of each process, separated by commas")
    if len(set(listed)) < len(listed):
        raise ClusterError("--addresses: an address occurs twice; every process needs its own")
    if not 0 <= process < len(listed):
        raise ClusterError(
            f"process {process} of {len(listed)}: --process-id counts from 0 to {len(listed) - 1}, "
            "a number for each of the --addresses"
        )
    return ProcessPlace(process, listed)


def place_in(environ: Mapping[str, str]) -> ProcessPlace:
    """Read the variables that Bytewax's own runner reads; without them this is the only process.

    Raises:
        ClusterError: they do not fit together.
    """
    addresses = environ.get("BYTEWAX_ADDRESSES", "")
    return place_of(int(environ.get("BYTEWAX_PROCESS_ID", "0")), addresses) if addresses else ALONE


def check(settings: Settings, processes: int) -> None:
    """Refuse settings that would fail, or silently misbehave, later.

    Raises:
        ClusterError: the settings do not support so many processes.
    """
    if processes == 1:
        return
    if not settings.kafka.brokers:
        raise ClusterError(
            f"{processes} processes need a Kafka that each of them reaches: set kafka.brokers. The embedded broker and "
            "its simulated shop run inside one process"
        )
    most = min(settings.state.lanes, PARTS)
    if processes > most:
        raise ClusterError(f"{processes} processes: at most {most}, because state.lanes is {settings.state.lanes}")
