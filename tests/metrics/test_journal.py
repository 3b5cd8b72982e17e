"""Counters across a kill: never back, no event twice towards what Prometheus has seen."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from operators.metrics.catalogue import ClosedSets
from operators.metrics.journal import Counts, Journal
from operators.metrics.observe import KeptObserveSink, Observer, Values, read

SETS = ClosedSets(
    queue=("orders", "returns"), channel=("chat", "email"), segment=("new",), model=("churn",), stage=("intake",)
)
DUPLICATE = ("csq_duplicates_total", (), 1)
REPLY = ("csq_reply_seconds", ("orders", "chat", "human"), 45.0)


class Process:
    """One life of a process: its series, its sink, and what Prometheus sees."""

    def __init__(self, folder: Path, resume: bytes | None = None, process: int = 0, processes: int = 1) -> None:
        self.registry = CollectorRegistry()
        self.observer = Observer(self.registry, SETS, strict=True)
        self.observer.keep(Journal(folder / f"exposed-p{process}", processes))
        self.early = self.scrape()  # before the store was read
        sink = KeptObserveSink(self.observer, process, processes)
        self.part = sink.build_part("csq.observe", f"{process:02d}", resume)

    def take(self, *measurements: Any) -> None:
        self.part.write_batch([list(measurements)])

    def scrape(self) -> Values:
        with self.observer.exposing():
            return read(self.registry)

    def look(self) -> Values:
        """What the live view reads."""
        return read(self.registry)


def duplicates(values: Values) -> float:
    return values["csq_duplicates_total"][()]


def replies(values: Values) -> dict[str, float]:
    """Bucket bound -> replies at most so long."""
    return {
        labels[-1]: value
        for labels, value in values["csq_reply_seconds_bucket"].items()
        if {*labels[:3]} == {*REPLY[1]}
    }


def test_a_counter_waits_until_events_that_are_read_again_have_caught_up(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 10)
    snapshot = first.part.snapshot()
    first.take(*[DUPLICATE] * 5)
    assert duplicates(first.scrape()) == 15
    first.take(*[DUPLICATE] * 3)  # counted, but neither stored nor seen
    second = Process(tmp_path, snapshot)
    assert duplicates(second.early) == duplicates(second.scrape()) == 15
    second.take(*[DUPLICATE] * 4)  # the first of those that are read again
    assert duplicates(second.scrape()) == 15
    second.take(*[DUPLICATE] * 4)
    assert duplicates(second.scrape()) == 18


def test_only_a_scrape_moves_the_floor(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 10)
    snapshot = first.part.snapshot()
    first.take(*[DUPLICATE] * 5)
    assert duplicates(first.look()) == 15
    second = Process(tmp_path, snapshot)
    assert (duplicates(second.early), duplicates(second.look())) == (0, 10)


def test_a_scrape_shows_what_it_has_written_down_and_another_reader_what_there_is(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 10)
    with first.observer.exposing():
        first.take(*[DUPLICATE] * 5)
        scraped = first.look()
        with ThreadPoolExecutor(1) as other:
            looked = other.submit(first.look).result()
    assert (duplicates(scraped), duplicates(looked), duplicates(first.look())) == (10, 15, 15)
    assert duplicates(Process(tmp_path).early) == 10


def test_histograms_do_so_bucket_by_bucket(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(REPLY)
    snapshot = first.part.snapshot()
    first.take((*REPLY[:2], 700.0), (*REPLY[:2], 20.0))
    seen = first.scrape()
    second = Process(tmp_path, snapshot)
    assert replies(second.scrape()) == replies(seen)
    second.take((*REPLY[:2], 700.0))
    assert replies(second.scrape()) == replies(seen)
    second.take((*REPLY[:2], 20.0), (*REPLY[:2], 20.0))
    after = second.scrape()
    assert replies(after)["30.0"] == 2
    assert replies(after)["+Inf"] == 4
    labels = next(labels for labels, value in after["csq_reply_seconds_sum"].items() if value)
    assert after["csq_reply_seconds_sum"][labels] == 45.0 + 700.0 + 40.0


def test_several_kills_between_two_snapshots_count_no_event_twice(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 10)
    snapshot = first.part.snapshot()
    for scraped in (3, 7, 5):
        life = Process(tmp_path, snapshot)
        life.take(*[DUPLICATE] * scraped)
        life.scrape()
    last = Process(tmp_path, snapshot)
    last.take(*[DUPLICATE] * 8)
    assert duplicates(last.scrape()) == 18


def test_before_the_first_snapshot_it_holds_too(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 5)
    first.scrape()
    second = Process(tmp_path)
    second.take(*[DUPLICATE] * 2)
    assert duplicates(second.scrape()) == 5


def test_the_journal_of_another_store_is_ignored_whether_the_present_one_has_a_snapshot_or_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 5)
    snapshot = first.part.snapshot()
    first.take(*[DUPLICATE] * 90)
    first.part.snapshot()
    first.scrape()
    other = tmp_path / "other"
    other.mkdir()
    another = Process(other)
    another.take(*[DUPLICATE] * 7)
    foreign = another.part.snapshot()
    assert duplicates(Process(tmp_path, foreign).look()) == 7
    assert "is of another store" in caplog.text

    first.scrape()
    emptied = Process(tmp_path)
    emptied.take(DUPLICATE)
    assert duplicates(emptied.look()) == 1

    first.scrape()
    restored = Process(tmp_path, snapshot)  # of a backup: the events since then are read again
    restored.take(*[DUPLICATE] * 20)
    assert duplicates(restored.look()) == 95


def test_a_journal_belongs_to_the_first_snapshot_whether_that_is_complete_or_not(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 5)
    snapshot = first.part.snapshot()  # a crash now leaves it out of the store, or not
    first.scrape()
    assert duplicates(Process(tmp_path).early) == 5
    again = Process(tmp_path)
    again.take(*[DUPLICATE] * 2)
    assert duplicates(again.scrape()) == 5
    assert duplicates(Process(tmp_path, snapshot).scrape()) == 5
    assert duplicates(Process(tmp_path, again.part.snapshot()).scrape()) == 5


def test_gauges_are_not_kept(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(("csq_open_waits", ("orders",), 7))
    first.scrape()
    second = Process(tmp_path, first.part.snapshot())
    assert second.scrape()["csq_open_waits"][("orders",)] == 0


def test_in_a_cluster_of_another_size_counters_begin_at_zero(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.take(*[DUPLICATE] * 5)
    first.scrape()
    second = Process(tmp_path, first.part.snapshot(), processes=2)
    assert duplicates(second.early) == duplicates(second.scrape()) == 0


def test_a_process_leaves_the_counters_of_others_alone(tmp_path: Path) -> None:
    other = Process(tmp_path, process=1, processes=2)
    other.take(*[DUPLICATE] * 5)
    ours = Process(tmp_path, processes=2)
    sink = KeptObserveSink(ours.observer, 0, 2)
    assert "01" not in sink.list_parts()
    sink.build_part("csq.observe", "02", other.part.snapshot())
    assert duplicates(ours.scrape()) == 0


def test_what_a_release_with_other_metrics_or_buckets_counted_is_left_out(tmp_path: Path) -> None:
    observer = Observer(CollectorRegistry(), SETS, strict=True)
    other = {
        ("csq_no_such_total", ()): 3.0,
        ("csq_duplicates_total", ("orders",)): 3.0,
        ("csq_open_waits", ("orders",)): 3.0,
        ("csq_reply_seconds", ("orders", "chat", "human")): ([1, 2], 9.0),
    }
    observer.resume(Counts(other))
    totals = observer.totals().series
    moved = {key: value for key, value in totals.items() if value not in (0.0, 0) and not isinstance(value, tuple)}
    assert moved == {}


def test_a_damaged_journal_is_reported_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Process(tmp_path)
    first.take(DUPLICATE)
    first.scrape()
    path = tmp_path / "exposed-p0"
    path.write_bytes(path.read_bytes()[:-3])
    assert duplicates(Process(tmp_path).scrape()) == 0
    assert (
        "the journal of counters cannot be read, so events since the last snapshot may be counted twice" in caplog.text
    )


def test_a_disk_that_is_full_does_not_hide_the_metrics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Process(tmp_path)
    first.take(DUPLICATE)
    (tmp_path / ".exposed-p0.new").unlink(missing_ok=True)
    (tmp_path / ".exposed-p0.new").mkdir()  # nothing can be written there
    assert duplicates(first.scrape()) == duplicates(first.scrape()) == 1
    assert caplog.text.count("cannot be written") == 1


def test_a_scrape_with_its_journal_costs_little(tmp_path: Path) -> None:
    first = Process(tmp_path)
    for queue in SETS.queue:
        first.take(
            *[
                ("csq_reply_seconds", (queue, channel, who), 45.0)
                for channel in SETS.channel
                for who in ("human", "bot")
            ]
        )
    began = time.process_time()
    with first.observer.exposing():
        generate_latest(first.registry)
    assert time.process_time() - began < 0.1
