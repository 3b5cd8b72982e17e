"""The benchmark does the same work on both sides, on a stream that is always the same."""

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench import __main__ as command
from bench import feed, hostile, processes, report, soak, stream
from bench.runs import Bench, Job
from bench.texts import Texts, texts_of
from operators.domain.wire.events import AnyEvent
from operators.metrics.observe import read
from tests import torture
from tests.figures import figures
from tests.servers.kafka import Kafka

EVENTS = 6_000
KEYS = {"events_per_second", "bare_events_per_second", "ratio", "stages", "rss_bytes", "details"}
texts = Texts(
    [("I am still waiting, this is awful", "negative"), ("thanks, great", "positive")], ["One moment."], "two"
)


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "events"
    last = stream.write(path, texts, EVENTS)
    thresholds = gc.get_threshold()
    yield Job(way="flow", path=str(path), last=last, events=EVENTS)
    gc.unfreeze()  # each run settles the memory of its process
    gc.set_threshold(*thresholds)


def test_the_stream_is_the_same_each_time_and_has_every_kind_of_event():
    first, second = list(stream.EventMaker(texts).events(EVENTS)), list(stream.EventMaker(texts).events(EVENTS))
    assert first == second
    decode = msgspec.json.Decoder(AnyEvent).decode
    kinds, broken = Counter(), 0
    for raw in first:
        try:
            event = decode(raw.value)
        except msgspec.DecodeError:
            broken += 1
        else:
            role = event.data.author.role if hasattr(event.data, "author") else ""
            kinds[f"{type(event).__name__} {role}".strip()] += 1
    assert 0.5 < kinds["MessageCreated customer"] / EVENTS < 0.6
    assert 0.02 < kinds["FeedbackSubmitted"] / EVENTS < 0.04
    assert min(kinds["SentimentLabelled"], kinds["OrderCompleted"], kinds["PageViewed"], kinds["ChurnLabelled"]) > 0
    assert broken > 0


def test_without_data_people_say_what_the_simulators_people_say():
    said = texts_of(None)
    assert len(said.customers) > 1_000
    assert len(said.agents) > 1_000
    assert {label for _, label in said.customers} == {"negative", "neutral", "positive"}


def test_flow_and_bare_loop_count_the_same(job):
    runs = {way: Bench(msgspec.structs.replace(job, way=way)) for way in ("flow", "stages")}
    found = {way: run.run() for way, run in runs.items()}
    assert found["flow"].counted == found["stages"].counted
    assert report.disagreements(list(found.values())) == []
    exact = {
        "csq_reply_rounds_total",
        "csq_reply_seconds_bucket",
        "csq_conversations_total",
        "csq_first_response_seconds_bucket",
    }
    assert read(runs["flow"].registry, exact) == read(runs["stages"].registry, exact)
    assert sum(read(runs["flow"].registry, exact)["csq_reply_rounds_total"].values()) > 100
    assert all(seconds > 0 for seconds in found["stages"].stages.values())


@pytest.mark.parametrize("way", ["flow", "bare"])
def test_all_records_of_the_embedded_broker_are_read(job, way):
    found = Bench(msgspec.structs.replace(job, way=way, origin="kafka")).run()
    counted = found.counted
    assert counted["csq_events_total"] + counted["csq_duplicates_total"] + counted["csq_dead_letters_total"] == EVENTS


def test_runs_that_did_other_work_are_reported():
    lost = figures(counted={"csq_events_total": 9})
    assert report.disagreements([figures(), lost]) == ["csq_events_total: 10 and 9"]


def test_ratios_are_taken_pair_by_pair():
    pairs = [(figures(seconds=2.0), figures(seconds=1.0)), (figures(seconds=1.0), figures(seconds=4.0))]
    assert report.figures_of(pairs)["ratio"] == {"min": 0.5, "median": 2.25, "max": 4.0}


def test_the_gain_of_a_second_process_is_taken_pair_by_pair():
    pairs = [(figures(seconds=2.0), figures(seconds=1.0)), (figures(cpu_seconds=1.0), figures(cpu_seconds=1.5))]
    found = report.processes_of(pairs)
    assert found["ratio"] == {"min": 1.0, "median": 1.5, "max": 2.0}
    assert found["cpu_ratio"] == {"min": 1.0, "median": 1.25, "max": 1.5}


def test_processes_of_one_run_are_taken_together():
    results = [processes.ProcessResult(figures(), 100.0, 102.0), processes.ProcessResult(figures(), 100.5, 103.0)]
    run = processes.together(results)
    assert (run.events, run.seconds, run.cpu_seconds, run.counted) == (10, 3.0, 2.0, {"csq_events_total": 20})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_process_and_two_do_the_same_work(kafka: Kafka, job, tmp_path: Path):
    with feed.filled(kafka.address, tmp_path / "events") as topic:
        job = msgspec.structs.replace(job, brokers=kafka.address, topic=topic)
        one, two = (processes.measure(job, count) for count in (1, 2))
    assert report.disagreements([one, two]) == []
    assert sum(one.counted.values()) == EVENTS
    assert min(one.seconds, one.cpu_seconds, two.seconds, two.cpu_seconds) > 0


@pytest.mark.slow
def test_the_command_writes_its_figures(tmp_path: Path, capsys):
    out = tmp_path / "latest.json"
    command.main(["--events", str(EVENTS), "--runs", "1", "--out", str(out)])
    written = msgspec.json.decode(out.read_bytes())
    assert written.keys() == KEYS
    assert written["details"].keys() >= {"memory", "kafka", "texts", "at"}
    assert "from kafka, median of 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("main", "arguments", "expected"),
    [
        (command.options, ["--runs", "-1"], "argument --runs: got '-1', expected a whole number from 1 up"),
        (soak.main, ["--minutes", "-1"], "argument --minutes: got '-1', expected a number above 0"),
        (soak.main, ["--rate", "fast"], "argument --rate: got 'fast', expected a number above 0"),
        (hostile.main, ["--inputs", "0"], "argument --inputs: got '0', expected a whole number from 1 up"),
        (torture.main, ["--processes", "1", "0"], "argument --processes: got '0', expected a whole number from 1 up"),
    ],
)
def test_an_invalid_number_is_refused_before_anything_runs(
    main: Callable[[list[str]], object], arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert capsys.readouterr().err.rstrip().endswith(expected)
