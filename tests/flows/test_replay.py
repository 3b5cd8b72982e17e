"""Replay: the same events give the same bytes, however they are packed; and real data gives the figures that are known."""

import gzip
import io
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.replay import replay
from flows.settings.load import load
from operators.importer import import_file, load_mapping
from operators.simulator import SimulatorParams, simulate
from tests.streams import CSQ, ENVIRON, NOW, ROOT, SETTINGS, raws, run, shuffled, with_settings, write

CONFIG = ROOT / "config"
SHOP = SimulatorParams(events_per_second=4.0, label_share=0.4, broken_share=0.01)
FILES = {
    "csq.turn.scored.jsonl",
    "csq.reply.measured.jsonl",
    "csq.satisfaction.scored.jsonl",
    "csq.churn.scored.jsonl",
    "csq.deadletters.jsonl",
    "metrics.prom",
}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deliveries, _ = simulate(SHOP, 3_000)
    return write(tmp_path_factory.mktemp("replay") / "events.jsonl", raws(deliveries))


def replayed(paths: Sequence[Path], folder: Path, batch_size: int = 100) -> dict[str, Any]:
    """The summary, but for what passes."""
    reported: list[int] = []
    settings = [str(path) for path in paths]
    summary = replay(SETTINGS, settings, folder, batch_size=batch_size, now=NOW, progress=reported.append)
    assert reported == sorted(reported)
    return {key: value for key, value in summary.items() if key not in {"seconds", "events_per_second"}}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_replay_writes_a_file_per_stream_and_the_metrics(events: Path, tmp_path: Path):
    replayed([events], tmp_path / "out")
    written = contents(tmp_path / "out")
    assert written.keys() == FILES
    assert all(written.values())
    for name in FILES - {"metrics.prom", "csq.deadletters.jsonl"}:
        for line in written[name].splitlines():
            event = json.loads(line)
            assert (event["specversion"], event["source"]) == ("1.0", "csq")
            assert f"{event['type']}.jsonl" == name
            assert event["id"].endswith(event["type"].removeprefix("csq."))


def test_published_ids_are_unique_so_that_consumers_can_drop_repeats(events: Path, tmp_path: Path):
    replayed([events], tmp_path)
    ids = [
        json.loads(line)["id"]
        for name in FILES - {"metrics.prom", "csq.deadletters.jsonl"}
        for line in (tmp_path / name).read_bytes().splitlines()
    ]
    assert len(set(ids)) == len(ids)


def test_no_text_of_a_customer_leaves_but_in_dead_letters(events: Path, tmp_path: Path):
    replayed([events], tmp_path)
    texts = set()
    for line in events.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("type") == "csq.message.created":
            texts.add(event["data"].get("text") or "")
    long = {text.encode() for text in texts if isinstance(text, str) and len(text) > 25}
    assert len(long) > 100
    for name in FILES - {"csq.deadletters.jsonl"}:
        written = (tmp_path / name).read_bytes()
        assert [text for text in long if text in written or json.dumps(text.decode()).encode()[1:-1] in written] == []


def test_the_bytes_are_the_same_for_any_seed_of_pythons_hashes(events: Path, tmp_path: Path):
    folders = [tmp_path / str(seed) for seed in (1, 2)]
    running = [
        subprocess.Popen(  # noqa: S603  our own command
            [*CSQ, "replay", str(events), "--out", str(folder)],
            cwd=ROOT,
            env=ENVIRON | {"PYTHONHASHSEED": folder.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    first, second = map(contents, folders)
    assert first.keys() == FILES | {"summary.json"}
    assert [name for name in first if first[name] != second[name]] == []


def test_a_packed_file_gives_the_same(events: Path, tmp_path: Path):
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(events.read_bytes(), mtime=0))
    assert replayed([events], tmp_path / "plain") == replayed([packed], tmp_path / "packed")
    plain, unpacked = contents(tmp_path / "plain"), contents(tmp_path / "packed")
    for name in FILES - {"csq.deadletters.jsonl"}:  # dead letters say which file they come from
        assert plain[name] == unpacked[name]


def test_blank_lines_and_the_ends_of_lines_do_not_matter(events: Path, tmp_path: Path):
    other = tmp_path / "events.jsonl"
    other.write_bytes(b"\n\r\n" + events.read_bytes().replace(b"\n", b"\r\n\n"))
    assert replayed([events], tmp_path / "one", 3_000) == replayed([other], tmp_path / "other", 3_000)


def test_a_stream_in_two_files_is_one_stream_with_disorder_where_it_was_cut(tmp_path: Path):
    deliveries, _ = simulate(SHOP, 2_000)
    lines = raws(shuffled(deliveries, SETTINGS.order.out_of_order_seconds, 1))
    whole, parts = write(tmp_path / "whole", lines), [tmp_path / "first", tmp_path / "second"]
    write(parts[0], lines[:1_000])
    write(parts[1], lines[1_000:])
    one, two = tmp_path / "one", tmp_path / "two"
    replayed([whole], one)
    replayed(parts, two)
    for folder in (one, two):
        assert "csq_late_events_total 0.0" in (folder / "metrics.prom").read_text(encoding="utf-8").splitlines()
    first, second = ((folder / "csq.reply.measured.jsonl").read_bytes().splitlines() for folder in (one, two))
    assert sorted(first) == sorted(second)


def test_no_events_give_an_empty_summary_and_metrics(tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    summary = replayed([tmp_path / "empty.jsonl"], tmp_path / "out")
    assert (summary["events"], summary["dead_letters"], summary["duplicates"], summary["models"]) == ({}, {}, 0, {})
    assert summary["reply_seconds"] == {"count": 0, "p10": None, "p50": None, "p75": None, "p90": None, "p99": None}
    assert b"csq_events_total" in contents(tmp_path / "out")["metrics.prom"]


def test_a_customer_may_be_forgotten_in_the_batch_that_speaks_of_them():
    days = (0, 200, 201)  # customers.silence_days lies between
    viewed = [
        {"specversion": "1.0", "id": f"e{day}", "source": "test", "type": "csq.behavior.page_viewed"}
        | {"time": f"{datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}"}
        | {"data": {"customer_id": f"customer-{day}"}}
        for day in days
    ]
    result = run({"file": [json.dumps(event).encode() for event in viewed]}, settings=with_settings(state={"lanes": 1}))
    assert sum(result.values["csq_dead_letters_total"].values()) == 0
    assert sum(result.published["csq.churn.scored"].values()) == len(days)


def test_nothing_but_rubbish_gives_nothing_but_dead_letters(tmp_path: Path):
    rubbish = [b"\x00\xff", b"null", b"[]", b"{}", b"1e999", b"{" * 2_000, b'"' + b"x" * 100_000 + b'"', b'{"time": 3}']
    path = write(tmp_path / "rubbish.jsonl", rubbish)
    summary = replayed([path], tmp_path / "out", 3)
    assert summary["events"] == {}
    assert sum(summary["dead_letters"].values()) == len(rubbish)
    assert len(contents(tmp_path / "out")["csq.deadletters.jsonl"].splitlines()) == len(rubbish)


# Real data.


def imported(data_dir: Path, mapping: str, name: str, folder: Path) -> Path:
    """Events of a data set, by the mapping that csq ships."""
    path = folder / "events.jsonl"
    written = io.BytesIO()
    done = import_file(
        load_mapping(CONFIG / "imports" / f"{mapping}.yaml"), data_dir / name, written, strict=True, report=pytest.fail
    )
    assert done.bad_rows == 0
    path.write_bytes(written.getvalue())
    return path


def test_reply_times_of_real_conversations_are_those_that_are_known(data_dir: Path, tmp_path: Path):
    name = "twitter_care_conversations/conversations.csv"
    summary = replayed([imported(data_dir, "twitter_care_conversations", name, tmp_path)], tmp_path / "out", 256)
    waits = summary["reply_seconds"]
    assert summary["events"]["csq.message.created"] == 1_333
    assert waits["count"] == 642
    known = (106, 2_387, 33_031, 368_270)  # whole seconds; between two values quantiles differ by method
    assert known == pytest.approx([waits[at] for at in ("p10", "p50", "p75", "p90")], abs=1, rel=1e-5)


def test_sentiment_of_real_tweets_is_learned(data_dir: Path, tmp_path: Path):
    events = imported(data_dir, "airline_tweets", "airline_tweets/airline_tweets.csv", tmp_path)
    summary = replayed([events], tmp_path / "out", 64)
    figures = summary["models"]["sentiment/en"]
    assert figures["n"] > 14_000
    assert 0.79 <= figures["last_fifth"]["accuracy"] <= 0.85
    assert 0.72 <= figures["last_fifth"]["macro_f1"] <= 0.85
    assert 0.3 < figures["last_fifth"]["log_loss"] < 0.6


def test_churn_of_real_customers_is_learned_from_declared_attributes(data_dir: Path, tmp_path: Path):
    events = imported(data_dir, "telco_churn", "telco_churn/telco_customer_churn.csv", tmp_path)
    settings = load(CONFIG / "examples" / "telco.yaml", {})
    summary = replay(settings, [str(events)], tmp_path / "out", batch_size=16, now=NOW)
    figures = summary["models"]["churn"]
    assert figures["n"] == 7_043
    assert 0.80 <= figures["last_fifth"]["auc"] <= 0.90
    assert 0.3 < figures["last_fifth"]["log_loss"] < 0.55
