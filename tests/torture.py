"""Torture: kill -9 at random moments over one stream; what is left must be what a run without kills leaves.

``python -m tests.torture --kills 100`` runs `csq run` as a process against a broker that lives in this one, kills it
again and again at random moments while the stream goes on, lets it finish, and compares with an undisturbed run: the
state of every stage and model (`csq state export`), what was published (repeats dropped by their id), and what
Prometheus was shown. The last line says ``lost 0, doubled 0, kills 100``.

It does so with one process and then with two, which want a real Kafka; it starts that as the tests do. Each of them
ends with that line. With ``--term`` csq is stopped instead (SIGTERM), which must lose and repeat nothing.

With ``--exact`` each record is a snapshot of its own, followed by a tick: no score can depend on how records
happened to be batched, and everything is compared, learned weights too. Without it records come in batches and
snapshots lie apart as in production, so that much is read again after a kill; then a message may be scored a little
before or after a label was learned, as in any two runs, and what follows from a score is left out or compared roughly.
"""

import argparse
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from bench.arguments import whole
from flows.commands.state.command import export_to
from flows.commands.state.plain_json import from_json
from flows.settings.model import Outputs
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka.params import SOURCE_STEP
from operators.domain.conversations.record import ConversationRecord
from operators.domain.customers.record import CustomerRecord
from operators.domain.wire.outgoing import DEADLETTERS
from operators.engine.store import read_manifest
from operators.metrics.catalogue import CATALOGUE
from operators.simulator import SimulatorParams, simulate
from tests.servers.kafka import Kafka
from tests.streams import CSQ, ENVIRON, NAMES, ROOT, SERVICE, event_time

TOPIC = "csq.events"
STREAMS = tuple(Outputs().by_stream().values())
QUIET_SECONDS = 7_200.0
"""Between the stream and its last event: all waits are over."""
AFTER_SECONDS = 60.0
"""How far after the last event the present is."""
END_SECONDS = 300.0
"""How long the last process may take to reach the end of the stream."""
SETTLE_SECONDS = 2.0
"""Seconds without any change after which the run is complete."""
STARTING_SHARE, STARTING_SECONDS = 0.2, 3.0
"""Share of kills at a random moment of the start, while the store is read; and how long a start is."""
READING_SECONDS = 1.5
"""The others come at a random moment of so many, from when it is ready."""
READY_SECONDS = 60.0
WEIGHTS_TOLERANCE = 0.1
"""How far learned weights may lie apart without `--exact`, as a share of their length."""
SCORED = ("csq_turns_total", "csq_churn_probability", "csq_satisfaction_score")
Shown = dict[tuple[str, tuple[str, ...]], float]

# The wall clock of a process: it begins behind the last event whenever the process does. A partition tells that present
# once it was read to the end of the whole stream: as if nothing had ever been waited for. Those that stay empty tell it
# as soon as they are there: librdkafka may say that they are at their end only behind all records of the other. Python
# imports a module `sitecustomize` before anything else.
CLOCK = """
import os, time, traceback
_time, _ahead = time.time, {present} - time.time()
time.time = lambda: _time() + _ahead

try:
    from operators.connectors.kafka.source import KafkaSourcePart as Part
    from operators.domain.time.route import Chunk

    _next_batch = Part.next_batch
    Part._read_time  # or nothing would be replaced
except BaseException:
    traceback.print_exc()
    os._exit(70)  # Python would go on without this module, at another time than is meant

def _read_time(part):
    part._next_tick = time.monotonic() + part._reader.tick_seconds
    buffer = part._buffer
    return {present} if buffer.number or (buffer.end or 0) >= {total} else None

def next_batch(part):
    is_new, chunks = not part._buffer.announced, _next_batch(part)
    return [Chunk(part.name, {present}, [], [])] if is_new and part._buffer.number else chunks

Part._read_time, Part.next_batch = _read_time, next_batch
"""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    kills: int
    events: int = 3_000
    seed: int = 1
    processes: int = 1
    exact: bool = False
    term: bool = False
    folder: str | None = None

    def settings(self) -> dict[str, str]:
        """What differs between exact runs and others."""
        if self.exact:
            return {
                "CSQ_KAFKA__BATCH_SIZE": "1",
                "CSQ_KAFKA__TICK_SECONDS": "0.00001",  # less than anything takes: a tick after each record
                "CSQ_STATE__SNAPSHOT_SECONDS": "0.000001",
                "CSQ_STATE__LANES": "2",
                "CSQ_STATE__RECOVERY_PARTITIONS": "1",
            }
        return {
            "CSQ_KAFKA__BATCH_SIZE": "50",
            "CSQ_KAFKA__TICK_SECONDS": "0.05",
            "CSQ_STATE__SNAPSHOT_SECONDS": "0.3",
            "CSQ_STATE__LANES": "8",
            "CSQ_STATE__RECOVERY_PARTITIONS": "2",
        }


@dataclass
class Outcome:
    """What a run left."""

    state: dict[tuple[str, str], Any]
    """(step, key) -> state, as exported."""
    published: dict[str, dict[str, bytes]]
    """Stream -> id -> record."""
    repeats: int
    shown: Shown
    """Counters as last scraped."""
    backwards: list[str] = field(default_factory=list)
    """Counters that a scrape found lower than one before."""


class Stream:
    """A recorded stream, and when it ends."""

    def __init__(self, plan: Plan) -> None:
        shop = SimulatorParams(
            seed=plan.seed, events_per_second=4.0, broken_share=0.02, duplicate_share=0.02, label_share=0.5
        )
        deliveries, books = simulate(shop, plan.events)
        self.ends_at = books.clock + QUIET_SECONDS
        self.values = [(some.key, some.raw) for some in deliveries if (event_time(some.raw) or 0.0) < self.ends_at]
        last = {
            "specversion": "1.0",
            "id": "last",
            "source": "torture",
            "type": "csq.behavior.page_viewed",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.ends_at)),
            "data": {"customer_id": "nobody"},
        }
        self.values.append(("nobody", json.dumps(last).encode()))


@contextmanager
def brokers_for(plan: Plan, folder: Path) -> Iterator[str]:
    """The embedded broker; for several processes a real one, for they share a compacted topic."""
    if plan.processes == 1:
        with EmbeddedBroker([TOPIC, *STREAMS]) as broker:
            yield broker.bootstrap_servers
        return
    with Kafka(folder / "kafka") as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.address})
        made = admin.create_topics([NewTopic(TOPIC, plan.processes), *(NewTopic(stream, 1) for stream in STREAMS)])
        for done in made.values():
            done.result(30)
        yield kafka.address


class Feed:
    """Puts the stream into a broker bit by bit, all of it into one partition."""

    def __init__(self, brokers: str, stream: Stream) -> None:
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        self._values = stream.values
        self._fed = 0

    def until(self, place: int, stop: Event, pause_seconds: float = 0.0) -> None:
        """Go on up to `place`, a few records at a time, unless stopped."""
        while self._fed < place and not stop.is_set():
            for key, value in self._values[self._fed : min(self._fed + 5, place)]:
                self._producer.produce(TOPIC, value, key, partition=0)
                self._fed += 1
            if self._producer.flush(30):
                raise RuntimeError("the embedded broker did not take the stream")
            stop.wait(pause_seconds)


class Process:
    """`csq run` on a recovery store."""

    def __init__(self, plan: Plan, stream: Stream, brokers: str, folder: Path) -> None:
        self.store = folder / "store"
        self._processes = plan.processes
        self._log = folder / "log"
        clock = CLOCK.format(present=stream.ends_at + AFTER_SECONDS, total=len(stream.values))
        (folder / "sitecustomize.py").write_text(clock, encoding="utf-8")
        environ = plan.settings() | {
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "CSQ_KAFKA__BROKERS": f"[{brokers}]",
            "CSQ_KAFKA__LIBRDKAFKA": "{fetch.wait.max.ms: 10}",
            "CSQ_STATE__DIRECTORY": str(self.store),
            "CSQ_HTTP__PORT": "0",
        }
        more = ["--processes", str(plan.processes)] if plan.processes > 1 else []
        with self._log.open("ab") as log:
            self._begins_at = log.tell()
            self.process = subprocess.Popen(  # noqa: S603  our own command
                [*CSQ, "run", *more],
                cwd=ROOT,
                env=ENVIRON | NAMES | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        """What it has said since it was started."""
        return self._log.read_bytes()[self._begins_at :].decode(errors="replace")

    def scrape(self) -> Shown | None:
        """Counters and parts of histograms as Prometheus sees them, over all processes; nothing unless all answer."""
        shown: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for text in self._pages("metrics"):
            if text is None:
                return None
            for family in text_string_to_metric_families(text):
                metric = CATALOGUE.get(family.name) or CATALOGUE.get(f"{family.name}_total")
                if metric is not None and metric.kind != "gauge":
                    for sample in family.samples:
                        shown[sample.name, tuple(sample.labels.values())] += sample.value
        return dict(shown) or None

    def is_ready(self) -> bool:
        """Whether all of its processes say so."""
        pages = list(self._pages("readyz"))
        return bool(pages) and None not in pages

    def _pages(self, name: str) -> Iterator[str | None]:
        urls = sorted(set(re.findall(r"(http://[\w.:]+)/metrics", self.log())))
        if len(urls) < self._processes:
            yield None
        for url in urls:
            try:
                with urllib.request.urlopen(f"{url}/{name}", timeout=5) as answer:  # noqa: S310  our own server
                    yield answer.read().decode()
            except OSError:
                yield None

    def kill(self) -> None:
        """Kill -9, the processes it has started too, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        """SIGTERM; it must end by itself, and without complaint."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            raise self.failed()

    def failed(self) -> RuntimeError:
        """It ended by itself, or did not."""
        return RuntimeError(f"csq run ended with {self.process.poll()}:\n{self.log()[-5_000:]}")


TAKEN = ("csq_events_total", "csq_duplicates_total", "csq_dead_letters_total")


def taken(shown: Mapping[tuple[str, tuple[str, ...]], float]) -> float:
    """Number of records that were accepted or refused."""
    return sum(value for (name, _), value in shown.items() if name in TAKEN)


class Run:
    """One stream, from its beginning to its end, with kills on the way."""

    def __init__(self, plan: Plan, stream: Stream, folder: Path) -> None:
        self._plan = plan
        self._stream = stream
        self._folder = folder
        self._rng = random.Random(plan.seed)  # noqa: S311  chance, not a secret
        self._shown: Shown = {}
        self._backwards: list[str] = []

    def outcome(self) -> Outcome:
        """Run it."""
        total, kills = len(self._stream.values), self._plan.kills
        with brokers_for(self._plan, self._folder) as brokers:
            feed = Feed(brokers, self._stream)
            for number in range(1, kills + 1):
                with self._process(brokers) as process:
                    self._live(process, feed, total * number // (kills + 1))
            with self._process(brokers) as process:
                feed.until(total, Event())
                self._wait_for_end(process)
                process.end()
            published, repeats = published_of(brokers)
        return Outcome(state_of(process.store), published, repeats, self._shown, self._backwards)

    @contextmanager
    def _process(self, brokers: str) -> Iterator[Process]:
        process = Process(self._plan, self._stream, brokers, self._folder)
        try:
            yield process
        finally:
            process.kill()

    def _live(self, process: Process, feed: Feed, place: int) -> None:
        """Let the stream go on and scrape, until a random moment; the rest of the share of this life is fed then."""
        starting, stop = not self._plan.term and self._rng.random() < STARTING_SHARE, Event()
        deadline = time.monotonic() + READY_SECONDS
        while not starting and not process.is_ready() and time.monotonic() < deadline:
            if process.process.poll() is not None:
                raise process.failed()
            time.sleep(0.05)
        ends_at = time.monotonic() + self._rng.uniform(0.0, STARTING_SECONDS if starting else READING_SECONDS)
        feeder = Thread(target=feed.until, args=(place, stop, self._rng.uniform(0.0, 0.1)))
        feeder.start()
        try:
            while (left := ends_at - time.monotonic()) > 0:
                if process.process.poll() is not None:
                    raise process.failed()
                self._scrape(process)
                time.sleep(min(max(left, 0.0), 0.1))
            if self._plan.term:
                process.end()
        finally:
            process.kill()
            stop.set()
            feeder.join()

    def _scrape(self, process: Process) -> None:
        """Look what it shows, and whether a counter went back."""
        shown = process.scrape()
        if shown is not None:
            self._backwards += [
                f"{name}{labels}: {before}, then {shown.get((name, labels), 0.0)}"
                for (name, labels), before in self._shown.items()
                if shown.get((name, labels), 0.0) < before
            ]
            self._shown = shown

    def _wait_for_end(self, process: Process) -> None:
        """Wait until everything is read and nothing changes any more."""
        deadline, since = time.monotonic() + END_SECONDS, time.monotonic()
        before: Shown = {}
        while time.monotonic() < deadline:
            if process.process.poll() is not None:
                raise process.failed()
            self._scrape(process)
            service = {key: value for key, value in self._shown.items() if key[0] in SERVICE}
            if service != before or taken(service) < len(self._stream.values):
                before, since = service, time.monotonic()
            elif time.monotonic() - since > SETTLE_SECONDS:
                return
            time.sleep(0.1)
        raise RuntimeError(f"csq did not come to the end of the stream:\n{process.log()[-5_000:]}")


def state_of(folder: Path) -> dict[tuple[str, str], Any]:
    """What `csq state export` writes of each step and key."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise RuntimeError(f"{folder} holds no store")
    lines = BytesIO()
    export_to(lines, folder, manifest)
    records = map(msgspec.json.decode, lines.getvalue().splitlines()[1:])
    return {(record["step"], record["key"]): from_json(record.get("state", record.get("value"))) for record in records}


def published_of(brokers: str) -> tuple[dict[str, dict[str, bytes]], int]:
    """Every record of the outgoing topics by its id, and how many were repeats."""
    found: dict[str, dict[str, bytes]] = {stream: {} for stream in STREAMS}
    repeats = 0
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "torture", "enable.partition.eof": True})
    try:
        for stream in STREAMS:
            numbers = consumer.list_topics(stream, timeout=10).topics[stream].partitions
            consumer.assign([TopicPartition(stream, number, OFFSET_BEGINNING) for number in numbers])
            ended = 0
            while ended < len(numbers):
                for message in consumer.consume(1_000, 0.2):
                    if message.error() is not None:
                        ended += 1
                        continue
                    name = id_of(stream, message)
                    repeats += name in found[stream]
                    found[stream][name] = message.value()
    finally:
        consumer.close()
    return found, repeats


def id_of(stream: str, message: Any) -> str:
    """What a reader drops repeats by: the id of an event, the place a dead letter was read at."""
    if stream == DEADLETTERS:
        headers = dict(message.headers())
        return f"{headers['origin'].decode()}@{headers['position'].decode()}"
    return str(json.loads(message.value())["id"])


# ---- comparing


def compare(calm: Outcome, tortured: Outcome, *, exact: bool) -> tuple[int, int, list[str]]:
    """How much was lost, how much doubled, and what else differs."""
    lost = doubled = 0
    reported = [*tortured.backwards]
    for key in sorted(calm.shown.keys() | tortured.shown.keys()):
        if key[0] not in SERVICE:
            continue
        more = tortured.shown.get(key, 0.0) - calm.shown.get(key, 0.0)
        lost, doubled = lost + max(-more, 0.0), doubled + max(more, 0.0)
        if more:
            reported.append(f"{key}: {more:+g}")
    for stream in STREAMS:
        ours, theirs = calm.published[stream], tortured.published[stream]
        if not exact and stream == "csq.churn.scored":  # scored once for all that a tick brings: ticks differ
            continue
        lost, doubled = lost + len(ours.keys() - theirs.keys()), doubled + len(theirs.keys() - ours.keys())
        reported += [
            f"{stream}: {name} only {where}" for where, names in _apart(ours, theirs).items() for name in names
        ]
        if exact or stream in {"csq.reply.measured", DEADLETTERS}:
            reported += [
                f"{stream} {name} differs" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]
            ]
    for key in sorted(calm.state.keys() | tortured.state.keys()):
        if key[0] != "csq.observe":  # it holds ages and durations; what it counts was compared as shown
            of_both = [certain(key, some.state.get(key), exact=exact) for some in (calm, tortured)]
            reported += differences(*of_both, "/".join(key))
    if not exact:
        reported += [text for key in calm.state if (text := weights_apart(key, calm.state, tortured.state))]
    return round(lost), round(doubled), reported


def _apart(calm: Mapping[str, bytes], tortured: Mapping[str, bytes]) -> dict[str, list[str]]:
    gone, new = calm.keys() - tortured.keys(), tortured.keys() - calm.keys()
    return {"without kills": sorted(gone), "with kills": sorted(new)}


def certain(key: tuple[str, str], state: Any, *, exact: bool) -> Any:
    """The part of a state that does not follow from when a label was learned, or from which broker was read."""
    step = key[0]
    if step == SOURCE_STEP and isinstance(state, dict):  # each run has a broker of its own
        return {name: value for name, value in state.items() if name not in {"cluster", "topic"}}
    if exact or not isinstance(state, dict):
        return state
    if step == "csq.learn.model":
        model = state.get("model", state)
        return model.get("counts", model.get("learned"))
    if "stage" not in state:
        return state
    stage = dict(state["stage"])
    if step.startswith("csq.conversations"):
        stage["records"] = _without(stage["records"], ConversationRecord, "moods", "satisfaction", "rating")
        stage.pop("turns")
    if step.startswith("csq.customers"):
        scores = ("mood", "published", "pending", "at_risk")
        stage["records"] = _without(stage["records"], CustomerRecord, *scores)
    return {**state, "stage": stage}


def _without(records: Mapping[str, list[Any]], kind: type[Struct], *names: str) -> dict[str, dict[str, Any]]:
    """Records, which are stored by place, by name; some parts left out."""
    by_name = {key: dict(zip(kind.__struct_fields__, record, strict=True)) for key, record in records.items()}
    return {key: {name: part for name, part in each.items() if name not in names} for key, each in by_name.items()}


def weights_apart(
    key: tuple[str, str], calm: Mapping[tuple[str, str], Any], tortured: Mapping[tuple[str, str], Any]
) -> str | None:
    """Whether learned weights lie further apart than they may."""
    if not key[1].startswith("sentiment/"):
        return None
    one, other = (_weights(some[key]["model"]) for some in (calm, tortured))
    names = sorted(one.keys() | other.keys())
    zero = (0.0, 0.0, 0.0)
    ours, theirs = (np.array([some.get(name, zero) for name in names]) for some in (one, other))
    apart = float(np.linalg.norm(ours - theirs) / np.linalg.norm(ours))
    return f"{'/'.join(key)}: weights {apart:.3f} apart" if apart > WEIGHTS_TOLERANCE else None


def _weights(model: Mapping[str, Any]) -> dict[int, tuple[float, ...]]:
    names = np.frombuffer(model["features"], "<i4").tolist()
    table = np.frombuffer(model["weights"], "<f8").reshape(3, len(names))
    return dict(zip(names, map(tuple, table.T.tolist()), strict=True))


def differences(calm: Any, tortured: Any, where: str) -> Iterator[str]:
    """Where two states differ, path by path; the order of a table is no difference, nor is the last bit of a sum."""
    if isinstance(calm, dict) and isinstance(tortured, dict):
        for key in sorted(calm.keys() | tortured.keys(), key=str):
            yield from differences(calm.get(key, "(absent)"), tortured.get(key, "(absent)"), f"{where}.{key}")
    elif isinstance(calm, list) and isinstance(tortured, list) and len(calm) == len(tortured):
        for number, (one, other) in enumerate(zip(calm, tortured, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif calm != tortured and not (
        isinstance(calm, float) and isinstance(tortured, float) and math.isclose(calm, tortured, rel_tol=1e-9)
    ):
        yield f"{where}: {str(calm)[:120]} and {str(tortured)[:120]}"


# ---- the program


def torture(plan: Plan) -> tuple[int, int, list[str], Outcome]:
    """Run the stream twice, undisturbed and killed; what was lost, doubled, and else differs."""
    stream = Stream(plan)
    shm = Path("/dev/shm")  # noqa: S108  a folder of one's own in it: a snapshot of each record wears a disk out
    at = plan.folder or (shm if shm.is_dir() else None)
    outcomes = []
    for kills in (0, plan.kills):
        with tempfile.TemporaryDirectory(prefix="csq-torture-", dir=at) as folder:
            outcomes.append(Run(replace(plan, kills=kills), stream, Path(folder)).outcome())
    return (*compare(*outcomes, exact=plan.exact), outcomes[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; 0 if nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=whole(0), default=100)
    parser.add_argument("--events", type=whole(), default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=whole(), nargs="+", help="one after the other; 1 2 unless --exact")
    parser.add_argument("--exact", action="store_true", help="each record a snapshot of its own; everything compared")
    parser.add_argument("--term", action="store_true", help="SIGTERM instead of SIGKILL")
    parser.add_argument("--folder", help="where the stores go for a while; else in memory")
    chosen = vars(parser.parse_args(arguments))
    counts = chosen.pop("processes") or ([1] if chosen["exact"] else [1, 2])
    if chosen["exact"] and counts != [1]:
        parser.error("--exact wants one process: with several the order of labels is not fixed")
    return max([_held(Plan(processes=count, **chosen)) for count in counts])


def _held(plan: Plan) -> int:
    """Run it and print what came of it; 0 if nothing differs."""
    lost, doubled, reported, outcome = torture(plan)
    for text in reported[:50]:
        print(text)  # noqa: T201  a program
    counted, again = round(taken(outcome.shown)), outcome.repeats
    print(  # noqa: T201  as above
        f"processes {plan.processes}: {counted} records counted, {again} outgoing records repeated, "
        f"{len(reported)} other differences"
    )
    print(f"lost {lost}, doubled {doubled}, kills {plan.kills}", flush=True)  # noqa: T201  as above
    return 1 if lost or doubled or reported else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started ends as well
    sys.exit(main())
