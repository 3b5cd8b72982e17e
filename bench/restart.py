"""``python -m bench.restart``: how long a restart takes, and what snapshots cost, by the number of customers held.

For each number a store is made by a warm start over that many customers, each with one conversation of four events.
Then a process of its own resumes from it and takes a trickle of events over some snapshots: every lane is touched, so
every snapshot writes all there is. The pause is what the flow stands still at the end of an epoch: encoding, and
Bytewax writing it down. `docs/state.md` has figures.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.testing import cluster_main

from bench.arguments import whole
from bench.meter import peak_rss_bytes
from flows.host.recovery import recovery_of
from flows.process import observer_of, replay_process, settle_memory
from flows.quality import quality
from flows.settings.load import load
from flows.settings.model import Settings
from flows.warm import warm_start
from operators.domain.time.route import Chunk
from operators.metrics.observe import ObserveSink, read
from operators.metrics.summary import TakeSink

START = 1_767_600_000.0
"""POSIX seconds of the first event."""
SNAPSHOTS = 4
EPOCH_SECONDS = 3.0
TRICKLE = 200
"""Events between two looks."""


class RestartFigures(msgspec.Struct):
    """What one restart took. Seconds are wall time, bytes those of all stages' snapshots together."""

    customers: int
    restart_seconds: float
    snapshot_seconds: float
    pause_seconds: float
    pause_cpu_seconds: float
    state_bytes: int
    store_bytes: int
    rss_bytes: int


def events(customers: int) -> Iterator[bytes]:
    """Four events of each customer's one conversation."""
    for number in range(customers):
        who = {
            "conversation_id": f"conversation-{number:08d}",
            "customer_id": f"customer-{number:08d}",
            "channel": "chat",
            "queue": ("orders", "returns", "billing", "technical")[number % 4],
        }
        said = {**who, "message_id": f"m-{number}", "author": {"role": "customer", "id": who["customer_id"]}}
        reply = {**who, "message_id": f"r-{number}", "author": {"role": "agent", "id": f"agent-{number % 50}"}}
        text = "The parcel has not arrived and I am rather cross about it, where is my order please"
        for offset, kind, data in (
            (0.0, "csq.conversation.opened", who),
            (0.1, "csq.message.created", {**said, "text": text}),
            (0.2, "csq.message.created", {**reply, "text": "I am sorry, it is on its way."}),
            (0.3, "csq.conversation.resolved", {**who, "outcome": "solved"}),
        ):
            yield _event(f"e-{number}-{offset}", kind, START + number * 0.01 + offset, data)


def _event(name: str, kind: str, at: float, data: dict[str, Any]) -> bytes:
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    event = {"specversion": "1.0", "id": name, "source": "shop/1", "type": kind, "time": stamp, "data": data}
    return msgspec.json.encode(event)


def settings_for(folder: Path) -> Settings:
    """The built-in settings with a recovery store."""
    return load(None, {"CSQ_STATE__DIRECTORY": str(folder)})


def fill(customers: int, folder: Path) -> None:
    """Create a store with so many customers."""
    history = folder.with_name("history.jsonl")
    with history.open("wb") as file:
        file.writelines(raw + b"\n" for raw in events(customers))
    warm_start(settings_for(folder), [str(history)], folder, batch_size=4_000, now=START + 1e8)
    history.unlink()


class Trickle(FixedPartitionedSource[Chunk, int]):
    """Page views of all customers in turn, until so many snapshots were taken; notes how long it was not asked."""

    def __init__(self, customers: int, began: float, ready: Any) -> None:  # noqa: ANN401  a function without arguments
        self.customers = customers
        self.began = began
        self.ready = ready
        self.restart_seconds = 0.0
        self.pauses: list[tuple[float, float]] = []
        """Wall and CPU seconds."""

    def list_parts(self) -> list[str]:
        """One."""
        return ["trickle"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_TricklePart":  # noqa: ARG002  Bytewax names them
        """Begin where the history ended."""
        return _TricklePart(self)


class _TricklePart(StatefulSourcePartition[Chunk, int]):
    def __init__(self, trickle: Trickle) -> None:
        self._trickle = trickle
        self._sent = 0
        self._snapshot_at: tuple[float, float] | None = None

    def next_batch(self) -> list[Chunk]:
        trickle = self._trickle
        if not trickle.ready():
            return []
        if self._snapshot_at is not None:
            wall, cpu = self._snapshot_at
            trickle.pauses.append((time.perf_counter() - wall, time.process_time() - cpu))
            self._snapshot_at = None
        if len(trickle.pauses) > SNAPSHOTS:
            raise StopIteration
        if not self._sent:
            trickle.restart_seconds = time.time() - trickle.began
        values: list[bytes | None] = []
        for number in range(self._sent, self._sent + TRICKLE):
            at = START + trickle.customers * 0.01 + 60 + number * 0.001
            data = {"customer_id": f"customer-{number % trickle.customers:08d}", "session_id": "s"}
            values.append(_event(f"t-{number}", "csq.behavior.page_viewed", at, data))
        positions = list(range(self._sent, self._sent + TRICKLE))
        self._sent += TRICKLE
        return [Chunk("trickle", None, positions, values)]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=20)

    def snapshot(self) -> int:
        self._snapshot_at = time.perf_counter(), time.process_time()
        return self._sent


def resume(customers: int, folder: Path, began: float) -> RestartFigures:
    """Resume from a store; `began` (POSIX seconds) is when the process was asked for."""
    settings = settings_for(folder)
    here = dataclasses.replace(replay_process(settings, START + 1e8, tick_records=TRICKLE), take_snapshots=True)
    registry, observer = observer_of(settings, None)
    source = Trickle(customers, began, here.models.complete)
    flow = Dataflow("csq")
    out = quality(flow, op.input("trickle", flow, source), here)
    op.output("observe", out.measured, ObserveSink(observer))
    op.output("drop", out.published, TakeSink(lambda _: None))
    settle_memory()
    epoch = timedelta(seconds=EPOCH_SECONDS)
    cluster_main(flow, [], 0, epoch_interval=epoch, recovery_config=recovery_of(settings, flow))
    values = read(registry)
    taken = max(values["csq_snapshot_duration_seconds_count"].values()) / settings.state.lanes
    walls, cpus = zip(*source.pauses, strict=True)
    return RestartFigures(
        customers=customers,
        restart_seconds=source.restart_seconds,
        snapshot_seconds=sum(values["csq_snapshot_duration_seconds_sum"].values()) / max(taken, 1.0),
        pause_seconds=median(walls),
        pause_cpu_seconds=median(cpus),
        state_bytes=int(sum(values["csq_state_bytes"].values())),
        store_bytes=sum(path.stat().st_size for path in folder.glob("part-*")),
        rss_bytes=peak_rss_bytes(),
    )


def measure(customers: int, at: Path | None) -> RestartFigures:
    """One number of customers, filled and resumed in processes of their own."""
    with tempfile.TemporaryDirectory(prefix="csq-restart-", dir=at) as folder:
        store = Path(folder) / "store"
        _run("--fill", customers, store)
        return msgspec.json.decode(_run("--resume", customers, store).splitlines()[-1], type=RestartFigures)


def _run(what: str, customers: int, store: Path) -> bytes:
    command = [sys.executable, "-m", "bench.restart", what, str(customers), "--store", str(store)]
    return subprocess.run([*command, "--began", str(time.time())], stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  ours


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description="Restart times and snapshot costs.")
    parser.add_argument("customers", type=whole(0), nargs="*", help="numbers of customers; default 10,000 and 100,000")
    parser.add_argument("--folder", type=Path, help="where the stores go for a while")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each instead of a table")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--resume", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill:
        fill(chosen.fill, chosen.store)
        return
    if chosen.resume:
        print(msgspec.json.encode(resume(chosen.resume, chosen.store, chosen.began)).decode())
        return
    interval = load(None, {}).state.snapshot_seconds
    print(f"snapshots every {interval:g} s")
    if not chosen.json:
        print("customers   restart   encoding      pause   its CPU  share of time    state      store     memory")
    for customers in chosen.customers or [10_000, 100_000]:
        found = measure(customers, chosen.folder)
        if chosen.json:
            print(msgspec.json.encode(found).decode(), flush=True)
            continue
        cpu = found.pause_cpu_seconds
        sizes = "  ".join(f"{size / 1e6:6.0f} MB" for size in (found.state_bytes, found.store_bytes, found.rss_bytes))
        print(
            f"{customers:9,}  {found.restart_seconds:6.1f} s  {found.snapshot_seconds:7.3f} s  "
            f"{found.pause_seconds:7.3f} s {cpu:7.3f} s  {100 * cpu / interval:11.1f} %  {sizes}",
            flush=True,
        )


if __name__ == "__main__":
    main()
