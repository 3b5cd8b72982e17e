"""Soak: a live csq under load for long, with faults.

    python -m bench.soak --minutes 20 --rate 5000

A real Kafka, ``csq run`` with a recovery store as a process of its own, events of a shop at a steady rate. Faults come
one after the other (``bench/soak_faults.py``). In the last two fifths of the time nothing happens, and memory must stay
flat. At the end every message of a customer must have been scored and every broken record refused: lost 0.

Latency is what csq measures itself, ``csq_event_age_seconds``: from an event's own time, which is taken right before it
is produced, to its being counted. So it has in it the producer, the broker and csq. It is reported for the time without
faults, which is what the aim of 100 ms speaks of, and for all of it.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.arguments import above_zero
from bench.soak_faults import Fault, Faults
from bench.soak_process import TOPIC, Csq
from bench.soak_traffic import DEAD, TURNS, Answers, LiveMaker, Traffic
from bench.texts import texts_of
from flows.settings.model import Outputs

if TYPE_CHECKING:
    from tests.servers.kafka import Kafka
    from tests.servers.wallclock import WallClock

PARTITIONS = 4
AIM_SECONDS = 0.1
"""p99 from produce to metric, without faults; reported, but not a failure on a machine that is too small."""
FLAT_SHARE = 0.05
FLAT_BYTES = 24 << 20
"""Memory may grow by so much, whichever is more, in the quiet part: allocators are never quite at rest."""
FULL_SECONDS = 60.0
"""After which the tables of a new process are full, with the bounds that it has here: what grows before that may."""
CATCH_UP_SECONDS = 900.0
"""Bound on how long csq may take at the end for what is left to read."""
STILL_SECONDS = 60
"""After so long without records no more are expected."""
SAMPLE_SECONDS = 2.0
AFTER_FAULT_SECONDS = 15.0
"""So long after a fault was over, latency and memory are still its own; in a long soak a tenth of the time."""
BEHIND_SECONDS = 1.0
"""And as long as more than so many seconds' worth of records wait: what gathered during a fault is not read yet."""
QUIET_FROM = 0.6
"""Share of the time that faults have; for the others nothing happens."""


class Sample(NamedTuple):
    """The metrics of csq."""

    at: float
    """Seconds since the soak began."""
    process: int
    ages: dict[tuple[str, ...], float]
    lag: float
    """Records that waited to be read."""
    snapshots: float
    """Taken so far, over all stages and lanes."""
    rss_bytes: int


class Soak:
    """One soak."""

    def __init__(
        self, kafka: "Kafka", clock: "WallClock", folder: Path, minutes: float, rate: float, seed: int, *, faults: bool
    ) -> None:
        self.seconds = minutes * 60
        self.samples: list[Sample] = []
        self.faults: list[tuple[float, float, str]] = []
        """Begin and end (seconds since the soak began), and what it was."""
        self.wrong: list[str] = []
        self._lasted = self.seconds
        self._caught_up = 0.0
        self._csq = Csq(folder, kafka.address)
        data = os.environ.get("CSQ_DATA")
        self.shop = LiveMaker(texts_of(Path(data) if data else None), seed)
        self.traffic = Traffic(kafka.address, TOPIC, self.shop, rate)
        self.answers = Answers(kafka.address, {TURNS: PARTITIONS, DEAD: PARTITIONS})
        self._faults = Faults(kafka, self._csq, self.traffic, self.answers, clock, PARTITIONS)
        self._planned = self._faults.planned() if faults else []
        if faults:
            self._csq.environ = clock.environ

    def run(self) -> None:
        """Until the time is over and everything is settled."""
        self._csq.start()
        self.answers.start()
        self.traffic.start()
        began = time.monotonic()
        planned = list(self._planned)
        try:
            while (at := time.monotonic() - began) < self._until(planned):
                if planned and at >= planned[0].share * self.seconds:
                    fault = planned.pop(0)
                    fault.do()
                    self.faults.append((at, time.monotonic() - began, fault.name))
                self._sample(began)
                time.sleep(SAMPLE_SECONDS)
            self.traffic.stop()
            self._lasted = time.monotonic() - began
            self._settle()
            self._judge()
        finally:
            self._csq.end()
            self.answers.stop()

    def _until(self, planned: list[Fault]) -> float:
        """When it is over: the quiet part is as long as it should be, however long the faults took."""
        if planned:
            return math.inf
        return max(self.seconds, self._last_fault() + (1 - QUIET_FROM) * self.seconds)

    def _last_fault(self) -> float:
        """Seconds since the soak began at which the last one was over."""
        return self.faults[-1][1] if self.faults else 0.0

    def _sample(self, began: float) -> None:
        if self._csq.process.poll() is not None:
            raise RuntimeError(f"csq ended by itself with {self._csq.process.returncode}; {self._csq.end_of_log()}")
        values = self._csq.scrape()
        if values is None:
            return
        self.samples.append(
            Sample(
                time.monotonic() - began,
                self._csq.starts,
                values.get("csq_event_age_seconds_bucket", {}),
                sum(values.get("csq_source_lag_messages", {}).values()),
                sum(values.get("csq_snapshot_duration_seconds_count", {}).values()),
                self._csq.rss_bytes(),
            )
        )

    def _settle(self) -> None:
        """Wait until all records have arrived, or no more arrive; then stop csq."""
        deadline, still = time.monotonic() + CATCH_UP_SECONDS, 0
        expected = self.shop.asked.count(1) + self.shop.broken
        before, began = -1, time.monotonic()
        while time.monotonic() < deadline and self.answers.count() < expected and still < STILL_SECONDS:
            time.sleep(1.0)
            still = still + 1 if self.answers.count() == before else 0
            before = self.answers.count()
        self._caught_up = time.monotonic() - began
        code = self._csq.stop()
        if code:
            self.wrong.append(f"csq ended with {code} after SIGTERM; {self._csq.end_of_log()}")
        time.sleep(2.0)  # the last of what it wrote

    # ---- results

    def _judge(self) -> None:
        self.wrong += [*self.traffic.failed, *self._faults.wrong]
        if missing := self.answers.missing(self.shop):
            self.wrong.append(f"{len(missing):,} messages were never scored, the first is message-{missing[0]}")
        if (refused := len(self.answers.refused)) != self.shop.broken:
            self.wrong.append(f"{self.shop.broken:,} broken records were sent, and {refused:,} refused")
        growth, mean, _ = self.memory()
        if growth > max(FLAT_BYTES, FLAT_SHARE * mean):
            self.wrong.append(f"memory grew by {growth / 2**20:.0f} MiB while nothing happened")

    def lost(self) -> int:
        """Messages that were never scored, and broken records that were never refused."""
        return len(self.answers.missing(self.shop)) + max(self.shop.broken - len(self.answers.refused), 0)

    def memory(self) -> tuple[float, float, float]:
        """Of the quiet part: bytes it grew by (a straight line through all samples), mean, and slope in bytes/min."""
        begin = max(self._last_fault() + max(self._after(), FULL_SECONDS), QUIET_FROM * self.seconds)
        quiet = [sample for sample in self.samples if sample.at > begin]
        if len(quiet) < 2:  # noqa: PLR2004 - a line needs two points
            return 0.0, 0.0, 0.0
        at = np.array([sample.at for sample in quiet])
        rss = np.array([sample.rss_bytes for sample in quiet], np.float64)
        slope = float(np.polyfit(at, rss, 1)[0])
        return slope * float(at[-1] - at[0]), float(rss.mean()), slope * 60

    def latency(self, q: float, pairs: Iterable[tuple[Sample, Sample]]) -> float | None:
        """Quantile of the age at which events were counted (seconds) between these samples."""
        ages: dict[tuple[str, ...], float] = {}
        for before, after in pairs:
            for labels, count in after.ages.items():
                ages[labels] = ages.get(labels, 0.0) + count - before.ages.get(labels, 0.0)
        return quantile(q, ages)

    def _after(self) -> float:
        return max(AFTER_FAULT_SECONDS, self.seconds / 10)

    def _between_snapshots(self) -> Iterator[tuple[Sample, Sample]]:
        """Away from faults, and neither during a snapshot nor right behind one: the flow stands still for it."""
        last = None
        for before, after in self._pairs(undisturbed=True):
            if after.snapshots != before.snapshots:
                last = after
            elif before is not last:
                yield before, after

    def _pairs(self, *, undisturbed: bool) -> Iterator[tuple[Sample, Sample]]:
        after = self._after()
        for number, sample in enumerate(self.samples[1:], 1):
            before = self.samples[number - 1]
            near = any(begin - 1 < sample.at and before.at < end + after for begin, end, _ in self.faults)
            behind = max(before.lag, sample.lag) > BEHIND_SECONDS * self.traffic.rate
            if before.process == sample.process and not (undisturbed and (near or behind or before.at < after)):
                yield before, sample

    def report(self) -> None:
        """The results, and a last line with the verdict."""
        growth, mean, slope = (size / 2**20 for size in self.memory())
        lines = [
            (
                "time",
                f"{self._lasted / 60:.1f} min at {self.shop.made / self._lasted:,.0f} events/s",
            ),
            ("produced", f"{self.shop.made:,} records, {self.shop.broken:,} of them broken"),
            ("scored", f"{self.answers.scored.count(1):,} messages; {self.answers.repeats:,} were published once more"),
            ("lost", f"{self.lost():,}"),
            *((f"at {begin:.0f} s", f"{name}, over after {end - begin:.0f} s") for begin, end, name in self.faults),
            ("at the end", f"{self._caught_up:.0f} s until all was read"),
            ("starts", ", ".join(f"{seconds:.1f} s" for seconds in self._csq.restart_seconds)),
            (
                "produce to metric",
                f"{self._quantiles(self._pairs(undisturbed=True))}, without faults (p99 should be {AIM_SECONDS:g} s)",
            ),
            ("", f"{self._quantiles(self._between_snapshots())}, without faults between snapshots"),
            ("", f"{self._quantiles(self._pairs(undisturbed=False))}, whenever csq could be asked"),
            ("memory", f"{mean:.0f} MiB, {slope:+.2f} MiB/min in the quiet part, {growth:+.1f} MiB in all of it"),
        ]
        for name, text in lines:
            print(f"{name:<19}{text}")
        for text in self.wrong:
            print(f"WRONG: {text}")
        print(f"soak ok: lost {self.lost()}" if not self.wrong else f"soak failed: {len(self.wrong)} things are wrong")

    def _quantiles(self, pairs: Iterable[tuple[Sample, Sample]]) -> str:
        lines, chosen = [], list(pairs)
        for q in (0.5, 0.95, 0.99):
            seconds = self.latency(q, chosen)
            lines.append(f"p{q * 100:g} " + ("-" if seconds is None else f"{seconds * 1000:,.0f} ms"))
        return ", ".join(lines)


def quantile(q: float, buckets: Mapping[tuple[str, ...], float]) -> float | None:
    """Estimate a quantile from cumulative buckets (bound last in the labels), as PromQL's histogram_quantile does.

    >>> quantile(0.5, {("1.0",): 10, ("2.0",): 30, ("+Inf",): 30})
    1.25
    >>> quantile(0.5, {("+Inf",): 0}) is None
    True
    """
    cumulative = sorted((float(labels[-1]), count) for labels, count in buckets.items())
    if not cumulative or cumulative[-1][1] <= 0:
        return None
    rank = q * cumulative[-1][1]
    for (low, below), (high, count) in pairwise([(0.0, 0.0), *cumulative]):
        if count >= rank and count > below:
            return low if high == float("inf") else low + (high - low) * (rank - below) / (count - below)
    return None


@contextmanager
def servers_in(folder: Path) -> Iterator[tuple["Kafka", "WallClock"]]:
    """A real broker with the topics of a soak, and a wall clock for csq.

    Raises:
        SystemExit: it cannot be had here.
    """
    from tests.servers.kafka import Kafka  # noqa: PLC0415 - only here does the soak need servers
    from tests.servers.presence import UnavailableError  # noqa: PLC0415 - as above
    from tests.servers.wallclock import WallClock  # noqa: PLC0415 - as above

    try:
        clock = WallClock(folder / "clock")
        with Kafka(folder / "kafka") as kafka:
            for topic in (TOPIC, *Outputs().by_stream().values()):
                kafka.create_topic(topic, partitions=PARTITIONS)
            yield kafka, clock
    except UnavailableError as error:
        raise SystemExit(f"soak: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    """Run it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=above_zero, default=20.0, help="how long")
    parser.add_argument("--rate", type=above_zero, default=5_000.0, help="events per second")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same shop")
    parser.add_argument("--no-faults", action="store_true", help="nothing goes wrong: latency and memory alone")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="csq-soak-") as folder, servers_in(Path(folder)) as (kafka, clock):
        soak = Soak(kafka, clock, Path(folder), chosen.minutes, chosen.rate, chosen.seed, faults=not chosen.no_faults)
        try:
            soak.run()
        except RuntimeError:
            end = kafka.log_file.read_text(encoding="utf-8", errors="replace")[-2_000:]
            print(f"the broker's log ends with:\n{end}")
            raise
        soak.report()
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
