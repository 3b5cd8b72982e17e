"""A million hostile inputs through the whole path: nothing may crash, be lost, grow, or take long.

    python -m bench.hostile --inputs 1000000 --seed 1

Inputs are fed a few at a time. Each must become a dead letter, an event, a repeat or a tombstone, and one of them only.
Time is CPU time of this thread. Where a few together took longer than one may, each of them is measured alone, in a
path of its own, up to `TRIES` times: so the cost of an input is distinguished from other load of the machine, and no
slow one hides. Tables are made small, so that a memory that grows shows itself.
"""

import argparse
import gc
import heapq
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter, thread_time

import msgspec
from prometheus_client import CollectorRegistry

from bench.arguments import whole
from bench.bare import Bare
from bench.hostile_inputs import CANARY, Hostile, Input
from bench.meter import peak_rss_bytes
from flows.process import settle_memory
from flows.settings.closed_sets import closed_sets
from flows.settings.model import Settings
from operators.domain.stage.stage import Measurement
from operators.domain.time.route import Chunk
from operators.domain.wire.decode import REASONS
from operators.domain.wire.outgoing import DEADLETTERS, Outgoing
from operators.metrics.observe import Observer

LIMIT_SECONDS = 0.010
"""No input may cost more."""
AT_ONCE = 16
"""Inputs that are fed together."""
TRIES = 15
"""The best of so many counts, where an input took longer."""
ROUNDS = 5
"""And the best of so many times that at the end, where it was none too good."""
UNEXPLAINED_SHARE = 0.02
"""Of the inputs may lie in groups that took long for another reason than one of them."""
SLOWEST = 10
"""Inputs that are listed."""
STEP_SECONDS = 0.005
"""Event time between two inputs."""
START = 1_767_603_600.0
"""POSIX seconds of the first input: an hour after the simulated shop opened."""
GROWTH_BYTES = 64 << 20
"""What memory may grow in the last three quarters of a run: caches of names fill slowly."""
COLLECT_EVERY = 5_000
"""Inputs between two collections of garbage, which then fall to none of them."""


def small(settings: Settings) -> Settings:
    """Tables that are full after some ten thousand inputs, so that their bounds are tried."""
    replace = msgspec.structs.replace
    return replace(
        settings,
        state=replace(settings.state, lanes=1),  # the bare loop holds in one lane what all lanes may
        dedupe=replace(settings.dedupe, max_ids=5_000),
        conversations=replace(settings.conversations, max_conversations=2_000),
        customers=replace(settings.customers, max_customers=2_000),
        vectorize=replace(settings.vectorize, memo_entries=20_000),
    )


class Counting(Observer):
    """Writes the metrics, and counts inputs by result."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(CollectorRegistry(), closed_sets(settings), clock=None)
        self.counts: Counter[str] = Counter()
        """Counter of the catalogue -> sum over its labels."""

    def record(self, measured: Iterable[Measurement]) -> None:
        """As `Observer.record`."""
        measured = list(measured)
        for name, _, value in measured:
            if name.endswith("_total"):
                self.counts[name] += value
        super().record(measured)


class Way:
    """The whole flow, and its output."""

    def __init__(self, settings: Settings) -> None:
        self.now = START
        self.observer = Counting(settings)
        self.dead: list[Outgoing] = []
        self._bare = Bare(settings, lambda: self.now, self.observer, self._publish)
        self.fed = 0

    def _publish(self, records: list[Outgoing]) -> None:
        self.dead += [record for record in records if record.stream == DEADLETTERS]

    def feed(self, values: list[bytes | None]) -> float:
        """Some inputs, numbered on; the CPU seconds they took."""
        self.now += STEP_SECONDS * len(values)
        numbers = list(range(self.fed + 1, self.fed + len(values) + 1))
        self.fed += len(values)
        chunk = Chunk("hostile[0]", self.now, numbers, values)
        began = thread_time()
        self._bare.take([chunk])
        return thread_time() - began


@dataclass
class Report:
    """Results of the inputs."""

    limit_seconds: float = LIMIT_SECONDS
    inputs: int = 0
    became: Counter[str] = field(default_factory=Counter)
    """Event, repeat, tombstone, or the reason of a dead letter -> how many."""
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Failures: crashes, inputs without a result or with two, texts in headers, slow inputs."""
    slowest: list[tuple[float, int, str, str]] = field(default_factory=list)
    """CPU seconds, number, kind, beginning of the slowest inputs among those that were measured alone."""
    alone: int = 0
    """Inputs that were measured alone."""
    unexplained: int = 0
    """Groups that took much longer than their inputs did alone: the machine, or tables that were swept."""
    longest_seconds: float = 0.0
    """The longest of them."""
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    rss_bytes: list[int] = field(default_factory=list)
    """Memory after each quarter."""
    peak_bytes: int = 0

    def dead_letters(self) -> int:
        """Inputs that were refused."""
        return sum(self.became[reason] for reason in REASONS)

    def balanced(self) -> bool:
        """Whether every input became something."""
        return self.inputs == sum(self.became.values()) == sum(self.kinds.values())


class HostileRun:
    """One run; `limit_seconds` is what an input may cost."""

    def __init__(self, seed: int, settings: Settings | None = None, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.report = Report(limit_seconds)
        self._limit = limit_seconds
        settings = small(settings or Settings())
        self._hostile = Hostile(seed)
        self._way, self._scratch = Way(settings), Way(settings)
        self._seen: Counter[str] = Counter()
        self._slow: list[tuple[int, Input]] = []
        self._attempt = 0

    def run(self, count: int, *, progress: bool = False) -> Report:
        """Feed so many inputs."""
        report = self.report
        settle_memory()
        gc.disable()
        began, quarters = perf_counter(), 0
        inputs = self._hostile.make(count, lambda: self._way.now)
        try:
            while group := list(islice(inputs, AT_ONCE)):
                self._feed(group)
                if report.inputs % COLLECT_EVERY < AT_ONCE:
                    gc.collect()
                    if progress:
                        print(f"{report.inputs:,} inputs, {perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
                if report.inputs * 4 >= count * (quarters + 1):
                    quarters += 1
                    gc.collect()
                    report.rss_bytes.append(rss_bytes())
        finally:
            gc.enable()
            gc.unfreeze()
        report.seconds = perf_counter() - began
        report.peak_bytes = peak_rss_bytes()
        self._conclude()
        return report

    def _conclude(self) -> None:
        report = self.report
        for number, one in self._slow:  # again, later, when other load may have ended
            best = min(self._measure(one.value) for _ in range(ROUNDS))
            report.slowest = [(min(best, was[0]), *was[1:]) if was[1] == number else was for was in report.slowest]
            if best > self._limit:
                report.wrong.append(f"input {number} ({one.kind}) takes {best * 1000:.1f} ms: {_begin(one.value)}")
        if not report.balanced():
            report.wrong.append(f"{report.inputs} inputs became {report.became.total()} things")
        if report.rss_bytes[-1] - report.rss_bytes[0] > GROWTH_BYTES:
            report.wrong.append(f"memory grew: {', '.join(f'{size >> 20} MiB' for size in report.rss_bytes)}")
        if report.unexplained * AT_ONCE > max(report.inputs * UNEXPLAINED_SHARE, AT_ONCE * 5):
            report.wrong.append(f"{report.unexplained} groups took long, and their inputs alone did not")

    def _feed(self, group: list[Input]) -> None:
        report, way = self.report, self._way
        first = way.fed + 1
        report.inputs += len(group)
        report.kinds.update(one.kind for one in group)
        try:
            seconds = way.feed([one.value for one in group])
        except Exception as error:  # noqa: BLE001 - any error would have been a crash
            report.wrong.append(f"inputs {first} to {way.fed}: {type(error).__name__}: {error}")
            report.became["crash"] += len(group)
            for number, one in enumerate(group, first):
                self._alone(number, one)
            self._seen = Counter(way.observer.counts)
            way.dead.clear()
            return
        report.cpu_seconds += seconds
        if seconds > self._limit:
            explained = sum(self._alone(number, one) for number, one in enumerate(group, first))
            if seconds > 3 * explained + self._limit:
                report.unexplained += 1
                report.longest_seconds = max(report.longest_seconds, seconds)
        self._account(first, group)

    def _alone(self, number: int, one: Input) -> float:
        """CPU seconds that an input takes alone, at best."""
        report = self.report
        report.alone += 1
        try:
            best = self._measure(one.value)
        except Exception as error:  # noqa: BLE001 - as above
            report.wrong.append(f"input {number} ({one.kind}): {type(error).__name__}: {error}; {_begin(one.value)}")
            return 0.0
        entry = (best, number, one.kind, _begin(one.value))
        (heapq.heappush if len(report.slowest) < SLOWEST else heapq.heappushpop)(report.slowest, entry)
        if best > self._limit:
            self._slow.append((number, one))
        return best

    def _measure(self, value: bytes | None) -> float:
        """CPU seconds at best of some tries."""
        best = math.inf
        for _ in range(TRIES):
            self._attempt += 1
            best = min(best, self._scratch.feed([_renamed(value, self._attempt)]))
            if best <= self._limit / 2:
                break
        self._scratch.dead.clear()
        return best

    def _account(self, first: int, group: list[Input]) -> None:
        """Result of each input."""
        report, counts, dead = self.report, self._way.observer.counts, self._way.dead
        became: Counter[str] = Counter()
        for name, what in (("csq_events_total", "event"), ("csq_duplicates_total", "repeat")):
            became[what] = counts[name] - self._seen[name]
        refused = {int(dict(letter.headers)["position"]): dict(letter.headers) for letter in dead}
        became.update(headers["reason"] for headers in refused.values())
        became["tombstone"] = sum(one.value is None for one in group)
        report.became.update(became)
        where = f"inputs {first} to {first + len(group) - 1}"
        if became.total() != len(group) or not refused.keys() <= set(range(first, first + len(group))):
            report.wrong.append(f"{where} ({[one.kind for one in group]}) became {dict(became)}")
        if not len(dead) == len(refused) == counts["csq_dead_letters_total"] - self._seen["csq_dead_letters_total"]:
            report.wrong.append(f"{where}: {len(dead)} dead letters, counted otherwise")
        for number, headers in refused.items():
            if headers["reason"] not in REASONS:
                report.wrong.append(f"input {number}: {headers['reason']} is no reason")
            if any(CANARY in text for text in headers.values()):
                report.wrong.append(f"input {number} shows itself in the headers: {headers}")
        for name in ("csq_refused_measurements_total", "csq_stage_failures_total"):
            if counts[name] != self._seen[name]:
                report.wrong.append(f"{where}: {name} has moved")
        self._seen = Counter(counts)
        dead.clear()


def _renamed(value: bytes | None, number: int) -> bytes | None:
    """The same input under another name, or it would be a repeat."""
    return value and value.replace(CANARY.encode(), b"%s%d" % (CANARY.encode(), number), 1)


def _begin(value: bytes | None) -> str:
    return "no value" if value is None else f"{len(value)} bytes, {value[:160]!r}"


def rss_bytes() -> int:
    """Resident memory of this process; its maximum if the system does not report the present value."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return peak_rss_bytes()


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    yield f"{report.inputs:,} inputs in {report.seconds:.0f} s, {report.cpu_seconds:.0f} s of it CPU time on their way"
    yield "inputs: " + ", ".join(f"{kind} {n:,}" for kind, n in report.kinds.most_common())
    yield "became: " + ", ".join(f"{what} {n:,}" for what, n in report.became.most_common())
    sizes = ", ".join(f"{size / 2**20:.0f}" for size in report.rss_bytes)
    yield f"memory after each quarter: {sizes} MiB; peak {report.peak_bytes / 2**20:.0f} MiB"
    yield (
        f"{report.alone:,} inputs were measured alone; {report.unexplained} groups took long and their inputs did not "
        f"(the longest {report.longest_seconds * 1000:.0f} ms)"
    )
    yield f"slowest inputs (limit {report.limit_seconds * 1000:.0f} ms):"
    for seconds, number, kind, beginning in sorted(report.slowest, reverse=True):
        yield f"  {seconds * 1000:5.1f} ms  input {number}, {kind}: {beginning}"
    for text in report.wrong[:50]:
        yield f"WRONG: {text}"
    if not report.wrong:
        yield "hostile ok: 0 crashes, 0 lost, 0 slow"
    else:
        yield f"hostile failed: {len(report.wrong)} things are wrong"


def main(arguments: list[str] | None = None) -> int:
    """Run it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=whole(), default=1_000_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same inputs")
    chosen = parser.parse_args(arguments)
    report = HostileRun(chosen.seed).run(chosen.inputs, progress=sys.stderr.isatty())
    for line in lines(report):
        print(line)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
