"""Streams for the end-to-end tests: events of the simulated shop, and a run of the whole flow over them.

`ChunkSource` replaces Kafka: origins are partitions, read side by side, each in its own order.
"""

import json
import os
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.testing import cluster_main

from flows.process import observer_of, replay_process
from flows.quality import quality
from flows.settings.load import load
from flows.settings.model import Settings
from operators.domain.time.route import END, Chunk
from operators.metrics.observe import ObserveSink, Values, read
from operators.metrics.summary import Summary, TakeSink
from operators.simulator import Delivery, SimulatorParams

ROOT = Path(__file__).parents[1]
CSQ = (sys.executable, "-m", "flows.commands.main")
"""The command, for tests in a separate process."""
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("CSQ_")}
NAMES = {
    "CSQ_LABELS__QUEUES": "[orders, returns, billing, technical]",
    "CSQ_LABELS__CHANNELS": "[chat, email, social]",
    "CSQ_LABELS__SEGMENTS": "[consumer, business]",
}
"""Those of the simulated shop as closed sets: what a metric counts is then the same from the first event on."""
NAMES_YAML = "labels:\n" + "".join(f"  {name.rpartition('__')[2].lower()}: {of}\n" for name, of in NAMES.items())
AT_ONCE = {"CSQ_FEEDBACK__SETTLE_SECONDS": "0"}
"""A rating counts when it comes: what a live run has counted is then what a replay of as much has counted."""
ENVIRON |= AT_ONCE
SETTINGS = load(None, NAMES | AT_ONCE)
ORIGIN = "stream"
NOW = SimulatorParams().start + 30 * 86_400.0
"""What these tests take for the present: later than all that the simulator delivers, earlier than its broken times."""

SERVICE = (
    "csq_events_total",
    "csq_duplicates_total",
    "csq_dead_letters_total",
    "csq_newest_event_timestamp_seconds",
    "csq_first_response_seconds",
    "csq_reply_seconds",
    "csq_resolution_seconds",
    "csq_last_resolution_seconds",
    "csq_handle_seconds",
    "csq_reply_rounds_total",
    "csq_open_waits",
    "csq_conversations_total",
    "csq_conversations_open",
    "csq_conversations_unassigned",
    "csq_first_contact_resolutions_total",
    "csq_arrivals_per_hour",
    "csq_service_level_ratio",
    "csq_agents",
    "csq_agent_load_ratio",
    "csq_staffing_scheduled_agents",
    "csq_feedback_total",
    "csq_complaints_total",
    "csq_orders_total",
    "csq_refused_measurements_total",
    "csq_stage_failures_total",
)
"""Metrics that depend on what happened and on nothing else: not on batches, partitions, or what models learned."""
SMOOTHED = ("csq_reply_smoothed_seconds", "csq_handle_smoothed_seconds", "csq_oldest_open_wait_seconds")


class ChunkSource(FixedPartitionedSource[Chunk, int]):
    """Origins in memory: name -> raw values. Each announces itself, is read in chunks, and ends."""

    def __init__(
        self, origins: Mapping[str, Sequence[bytes | None]], *, batch_size: int, ready: Callable[[], bool]
    ) -> None:
        self._origins = origins
        self._batch_size = batch_size
        self._ready = ready

    def list_parts(self) -> list[str]:
        return list(self._origins)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_Origin":
        return _Origin(self._chunks(for_part), self._ready)

    def _chunks(self, origin: str) -> Iterator[Chunk]:
        values, size = self._origins[origin], self._batch_size
        yield Chunk(origin, None, [], [])
        for start in range(0, len(values), size):
            some = list(values[start : start + size])
            yield Chunk(origin, None, list(range(start, start + len(some))), some)
        yield Chunk(origin, END, [], [])


class _Origin(StatefulSourcePartition[Chunk, int]):
    def __init__(self, chunks: Iterator[Chunk], ready: Callable[[], bool]) -> None:
        self._chunks = chunks
        self._ready = ready

    def next_batch(self) -> list[Chunk]:
        return [next(self._chunks)] if self._ready() else []

    def snapshot(self) -> int:
        return 0


@dataclass(frozen=True)
class Result:
    """The output of a run."""

    values: Values
    published: dict[str, Counter[bytes]]
    """Stream -> its records, in no order."""
    models: dict[str, Any]
    """Model -> its prequential figures, as in the summary of a replay."""


def run(
    origins: Mapping[str, Sequence[bytes | None]],
    *,
    batch_size: int = 256,
    settings: Settings = SETTINGS,
    now: float = NOW,
) -> Result:
    """Run the whole flow over origins; return the output."""
    here = replay_process(settings, now, tick_records=batch_size)
    registry, observer = observer_of(settings, None)
    published: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
    summary = Summary()

    def take(records: Iterable[Any]) -> None:
        for record in records:
            published[record.stream][record.value] += 1

    flow = Dataflow("test")
    out = quality(
        flow, op.input("in", flow, ChunkSource(origins, batch_size=batch_size, ready=here.models.complete)), here
    )
    op.output("observe", out.measured, ObserveSink(observer))
    op.output("take_published", out.published, TakeSink(take))
    op.output("take_judged", out.judged, TakeSink(summary.take_judged))
    cluster_main(flow, [], 0)
    return Result(read(registry), dict(published), summary.as_dict()["models"])


def raws(deliveries: Iterable[Delivery]) -> list[bytes]:
    """The bytes alone."""
    return [delivery.raw for delivery in deliveries]


def deal(deliveries: Iterable[Delivery], count: int) -> dict[str, list[bytes]]:
    """Deal a stream to partitions as a producer does: all of a key to the same one, in their order."""
    origins: dict[str, list[bytes]] = {f"{ORIGIN}[{number}]": [] for number in range(count)}
    for delivery in deliveries:
        origins[f"{ORIGIN}[{crc32(delivery.key.encode()) % count}]"].append(delivery.raw)
    return origins


def event_time(raw: bytes) -> float | None:
    """Event time (POSIX seconds) of a raw event that has one."""
    try:
        return datetime.fromisoformat(json.loads(raw)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


def shuffled(deliveries: Sequence[Delivery], bound_seconds: float, seed: int) -> list[Delivery]:
    """The deliveries with each event up to `bound_seconds` late: within the bound, but in thorough disorder."""
    rng = random.Random(seed)  # noqa: S311  a test wants the same disorder again
    late = []
    for place, delivery in enumerate(deliveries):
        time = event_time(delivery.raw)
        due = delivery.time if time is None or time > delivery.time else time
        late.append((due + rng.random() * bound_seconds, place, delivery))
    return [delivery for _, _, delivery in sorted(late)]


def family(values: Values, names: Iterable[str]) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples of metrics by name, those of a histogram among them."""
    wanted = {f"{name}{end}" for name in names for end in ("", "_bucket", "_count", "_sum")}
    return {name: series for name, series in values.items() if name in wanted}


def differences(left: Values, right: Values, names: Iterable[str], *, rel: float = 1e-9) -> list[str]:
    """Where two results differ: in a count at all, in a sum of seconds by more than its rounding."""
    ours, theirs = family(left, names), family(right, names)
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name, {}), theirs.get(name, {})
        for labels in sorted(one.keys() | other.keys()):
            a, b = one.get(labels), other.get(labels)
            if a is None or b is None or abs(a - b) > rel * max(abs(a), abs(b)):
                found.append(f"{name}{labels}: {a} and {b}")
    return found


def write(path: Path, values: Iterable[bytes]) -> Path:
    """Raw values as a file of lines, as `csq simulate` writes them."""
    path.write_bytes(b"".join(value.replace(b"\n", b" ") + b"\n" for value in values))
    return path


def with_settings(**sections: Mapping[str, Any]) -> Settings:
    """Settings with some keys changed: ``with_settings(order={"out_of_order_seconds": 5.0})``."""
    changed = {name: msgspec.structs.replace(getattr(SETTINGS, name), **values) for name, values in sections.items()}
    return msgspec.structs.replace(SETTINGS, **changed)
