"""``python -m bench.customers [HOW_MANY]``: memory and stored bytes per customer, for planning machines.

Each customer has one open conversation with a scored message and a reply: the state of a recent customer. Ids are as
long as UUIDs. Customers without a conversation of the last two weeks cost less.
"""

import argparse
import gc
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from bench.arguments import whole
from bench.bare import Bare
from flows.process import observer_of, settle_memory
from flows.settings.load import load
from operators.domain.customers.stage import Customers
from operators.domain.stage.seal import seal
from operators.domain.time.route import Chunk
from operators.domain.wire.outgoing import Outgoing

AT_ONCE = 1_000
SPACING_SECONDS = 0.01
SNAPSHOT_EVERY = 3_000
"""Customers; they arrive within 30 s."""
TEXT = "My parcel is late again. Where is it? I am really annoyed, order {}."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.customers", description=(__doc__ or "").partition(":")[2])
    parser.add_argument("customers", nargs="?", type=whole(), default=100_000)
    customers: int = parser.parse_args().customers
    base = load(None, {})
    settings = msgspec.structs.replace(
        base,
        customers=msgspec.structs.replace(base.customers, max_customers=customers + 1),
        conversations=msgspec.structs.replace(base.conversations, max_conversations=customers + 1),
    )
    clock = Clock(time.time() - customers * SPACING_SECONDS)
    _, observer = observer_of(settings, None)
    bare = Bare(settings, clock, observer, ignore)
    bare.take([clock.chunk(1)])  # tables, lexicon and models are there
    settle_memory()
    before = rss_bytes()
    for first in range(1, customers, AT_ONCE):
        bare.take([clock.chunk(min(AT_ONCE, customers - first))])
        if first % SNAPSHOT_EVERY == 1:
            take_snapshots(bare)
    clock.now += 10.0
    bare.take([clock.chunk(0)])  # what was held back for order is settled
    gc.collect()
    grown = rss_bytes() - before
    stages = bare.lane_stages()
    held = max(stage.entries() for stage in stages if isinstance(stage, Customers))
    if held != customers:
        raise SystemExit(f"{held} customers are held, expected {customers}: the figures would be wrong")
    stored = take_snapshots(bare)
    scale = 100_000 / customers
    print(f"customers                       {customers:>10,}")
    print(f"memory before                   {before / 2**20:>10,.0f} MiB")
    print(f"memory per 100,000 customers    {grown * scale / 2**20:>10,.0f} MiB")
    print(f"one snapshot per 100,000        {stored * scale / 2**20:>10,.0f} MiB")


def take_snapshots(bare: Bare) -> int:
    """As a recovery store would have them, in bytes; records to which nothing happened lately are frozen by it."""
    return sum(len(seal(stage.snapshot())) for stage in bare.lane_stages())


def ignore(_records: list[Outgoing]) -> None:
    """Where published records go."""


class Clock:
    """Time that advances with the customers."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._customers = 0
        self._position = 0

    def __call__(self) -> float:
        """POSIX seconds."""
        return self.now

    def chunk(self, customers: int) -> Chunk:
        """What so many further customers and their agents did, a hundredth of a second apart."""
        values: list[bytes | None] = []
        for number in range(self._customers, self._customers + customers):
            self.now += SPACING_SECONDS
            values += events(number, self.now)
        self._customers += customers
        self._position += len(values)
        return Chunk("bench[0]", self.now, list(range(self._position - len(values), self._position)), values)


def events(number: int, at: float) -> Iterator[bytes]:
    """A conversation of three events."""
    customer, conversation = str(UUID(int=number)), str(UUID(int=1 << 64 | number))
    common = {"conversation_id": conversation, "customer_id": customer, "channel": "chat", "queue": "orders"}
    asked: dict[str, object] = {
        "message_id": f"{number}-1",
        "author": {"role": "customer", "id": customer},
        "text": TEXT.format(number),
    }
    message: dict[str, object] = {
        "message_id": f"{number}-2",
        "author": {"role": "agent", "id": "a1"},
        "text": "It arrives today.",
    }
    named: tuple[tuple[str, dict[str, object]], ...] = (
        ("conversation.opened", {}),
        ("message.created", asked),
        ("message.created", message),
    )
    for step, (name, data) in enumerate(named):
        stamp = datetime.fromtimestamp(at - SPACING_SECONDS * (1 - step / 4), UTC).isoformat()
        head = {"specversion": "1.0", "id": f"{number}-{step}", "source": "bench", "type": f"csq.{name}", "time": stamp}
        yield json.dumps(head | {"data": common | data}).encode()


def rss_bytes() -> int:
    """Resident memory of this process; Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
