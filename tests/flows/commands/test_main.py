"""The command `csq`: its output, files and error messages."""

import gzip
import json
import logging
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner, Result

from flows.commands.main import main, subcommand
from flows.settings.load import load
from flows.settings.model import Settings
from operators.domain.wire.events import TYPES
from operators.simulator import SimulatorParams, simulate
from tests.streams import CSQ, ENVIRON, ROOT, raws, write

COMMANDS = ("run", "replay", "simulate", "import", "config", "schema", "forget", "id")
COMMANDS += ("check", "deadletters", "rules", "send", "state", "warm-start")
SUMMARY = {"batch_size", "events", "dead_letters", "duplicates", "reply_seconds", "first_response_seconds", "models"}
SUMMARY |= {"other", "seconds", "events_per_second", "rounds", "queues", "resolution_seconds"}
WAITS = {"count", "p10", "p50", "p75", "p90", "p99"}
FIGURES = {
    "sentiment": {"n", "accuracy", "baseline_accuracy", "macro_f1", "log_loss"},
    "churn": {"n", "accuracy", "baseline_accuracy", "macro_f1", "log_loss", "auc"},
    "satisfaction": {
        "n",
        "accuracy",
        "baseline_accuracy",
        "mean_absolute_error",
        "baseline_mean_absolute_error",
    },
}
MAPPING = """
source: test
times:
  said: {column: time}
events:
  - type: csq.customer.updated
    id: "{id}"
    time: said
    data:
      customer_id: "{id}"
      attributes.age: {column: age, type: number}
"""


@pytest.fixture(autouse=True)
def _default_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting comes from the environment, and logging is left as it was."""
    for name in ("CSQ_HTTP__PORT", "CSQ_LOG__LEVEL"):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deliveries, _ = simulate(SimulatorParams(events_per_second=2.0, label_share=0.5), 1_500)
    return write(tmp_path_factory.mktemp("cli") / "events.jsonl", raws(deliveries))


def csq(*arguments: object, env: Mapping[str, str | None] | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=env)


def piped(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A process of its own, with real pipes."""
    command = [*CSQ, *(str(argument) for argument in arguments)]
    return subprocess.run(  # noqa: S603  our own command
        command, input=stdin, cwd=ROOT, env=ENVIRON, capture_output=True, timeout=60, check=False
    )


def refused(result: Result, code: int, *parts: str) -> None:
    """Assert that the command failed with a message of its own, not with a traceback."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.stderr


# Help.


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command_with_what_it_does(flag: str):
    result = csq(flag)
    assert result.exit_code == 0
    lines = result.stdout.split("Commands:")[1].splitlines()
    reported = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert set(COMMANDS) == reported.keys()
    assert all(reported.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_every_option_has_a_help_text(command: str):
    result = csq(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.stdout
    for option in subcommand(command).params:
        assert option.param_type_name == "argument" or getattr(option, "help", ""), option.name


def test_the_version_is_that_of_the_package():
    assert csq("--version").stdout.strip().endswith("0.1.0")


def test_no_command_and_unknown_ones_are_usage_errors():
    assert csq().exit_code == 2
    assert csq("reply").exit_code == 2
    assert csq("replay", "--frobnicate").exit_code == 2


# Replay.


def test_replay_prints_counts_waits_models_and_the_folder(events: Path, tmp_path: Path):
    result = csq("replay", events, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for part in ("events in", "reply_seconds", "first_response_seconds", "sentiment/en", "dead letters"):
        assert part in result.stdout
    assert result.stderr == ""


def test_replay_json_prints_one_object_with_exactly_the_keys_that_are_promised(events: Path, tmp_path: Path):
    result = csq("replay", events, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    summary = json.loads(result.stdout)
    assert summary.keys() == SUMMARY
    assert WAITS == summary["reply_seconds"].keys() == summary["first_response_seconds"].keys()
    assert summary["models"].keys() >= {"sentiment/en", "churn", "satisfaction"}
    for model, figures in summary["models"].items():
        expected = FIGURES[model.split("/")[0]]
        assert expected | {"last_fifth", "label_delay_seconds"} == figures.keys()
        assert expected == figures["last_fifth"].keys() or figures["n"] < 5
    written = json.loads((tmp_path / "summary.json").read_bytes())
    assert {key: value for key, value in summary.items() if key in written} == written
    assert SUMMARY - written.keys() == {"seconds", "events_per_second"}


def test_the_last_fifth_is_never_more_than_a_fifth(tmp_path: Path):
    deliveries, _ = simulate(SimulatorParams(seed=39, events_per_second=1.0), 600)
    path = write(tmp_path / "few.jsonl", raws(deliveries))
    models = json.loads(csq("replay", path, "--out", tmp_path / "out", "--json").stdout)["models"]
    few = {model: figures for model, figures in models.items() if 0 < figures["n"] < 5}
    assert few
    assert [model for model, figures in few.items() if figures["last_fifth"]["n"] > 1] == []


def test_replay_counts_what_it_was_given(events: Path, tmp_path: Path):
    result = csq("replay", events, events, "--out", tmp_path, "--json")
    summary = json.loads(result.stdout)
    lines = events.read_bytes().count(b"\n")
    total = sum(summary["events"].values()) + summary["duplicates"] + sum(summary["dead_letters"].values())
    assert total == 2 * lines
    assert summary["duplicates"] >= sum(summary["events"].values())


def test_replay_of_a_missing_file_says_which_and_what_was_expected(tmp_path: Path):
    result = csq("replay", tmp_path / "no.jsonl", "--out", tmp_path / "out")
    refused(result, 1, str(tmp_path / "no.jsonl"), "No such file or directory", "expected JSON lines")
    assert not (tmp_path / "out").exists()


def test_replay_checks_every_file_before_it_begins(events: Path, tmp_path: Path):
    result = csq("replay", events, tmp_path / "no.jsonl", "--out", tmp_path / "out")
    refused(result, 1, "no.jsonl")
    assert not (tmp_path / "out").exists()


def test_replay_of_a_folder_says_so(tmp_path: Path):
    refused(csq("replay", tmp_path, "--out", tmp_path / "out"), 1, str(tmp_path), "Is a directory")


def test_replay_of_an_invalid_gz_says_so(tmp_path: Path):
    (tmp_path / "events.jsonl.gz").write_bytes(b'{"plain": "text"}\n')
    refused(csq("replay", tmp_path / "events.jsonl.gz", "--out", tmp_path / "out"), 1, "events.jsonl.gz", "gzip")


@pytest.mark.parametrize("damage", ["short", "long", "garbled"])
def test_replay_of_a_damaged_gz_says_so(events: Path, tmp_path: Path, damage: str):
    whole = gzip.compress(events.read_bytes())
    damaged = {
        "short": whole[:12],
        "long": whole[: len(whole) // 2],
        "garbled": whole[: len(whole) // 2] + bytes(100) + whole[len(whole) // 2 + 100 :],
    }
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(damaged[damage])
    refused(csq("replay", path, "--out", tmp_path / "out"), 1, str(path))


def test_replay_wants_files_and_a_folder(events: Path, tmp_path: Path):
    refused(csq("replay", "--out", tmp_path), 2, "Missing argument", "FILE")
    refused(csq("replay", events), 2, "Missing option", "--out")
    refused(csq("replay", events, "--out", events), 2, "is a file")
    refused(csq("replay", events, "--out", tmp_path, "--batch", 0), 2, "--batch")


def test_replay_to_where_nothing_can_be_written_says_so(events: Path):
    refused(csq("replay", events, "--out", events / "out"), 1, str(events / "out"), "cannot be written")


# Simulate.


def test_simulate_writes_events_and_books(tmp_path: Path):
    out, books = tmp_path / "events.jsonl", tmp_path / "books.json"
    result = csq("simulate", "--scenario", "rush", "--seed", 3, "--events", 700, "--out", out, "--books", books)
    assert (result.exit_code, result.output) == (0, "")
    deliveries, expected = simulate(SimulatorParams(scenario="rush", seed=3), 700)
    assert out.read_bytes().splitlines() == [delivery.raw for delivery in deliveries]
    assert json.loads(books.read_bytes()) == json.loads(msgspec.json.encode(expected))


def test_simulate_takes_its_knobs_from_the_settings(tmp_path: Path):
    config = tmp_path / "my.yaml"
    config.write_text("simulator: {seed: 9, broken_share: 0.5}\n", encoding="utf-8")
    result = csq("simulate", "--events", 50, "--out", tmp_path / "out", "-c", config)
    assert result.exit_code == 0
    assert (tmp_path / "out").read_bytes().splitlines() == raws(
        simulate(SimulatorParams(seed=9, broken_share=0.5), 50)[0]
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--scenario", "flood"), "'flood' is not one of"),
        (("--events", "0"), "--events"),
        (("--events", "many"), "not a valid integer"),
        (("--seed", "x"), "--seed"),
        pytest.param(
            ("--seed", "-1"),
            "--seed",
        ),
    ],
)
def test_simulate_refuses_wrong_options(tmp_path: Path, arguments: tuple[str, ...], part: str):
    refused(csq("simulate", "--events", 5, "--out", tmp_path / "x", *arguments), 2, part)


@pytest.mark.parametrize("option", ["--out", "--books"])
def test_simulate_to_where_nothing_can_be_written_says_so(events: Path, tmp_path: Path, option: str):
    options = {"--out": tmp_path / "events", "--books": tmp_path / "books"} | {option: events / "below a file"}
    result = csq("simulate", "--events", 5, *(part for pair in options.items() for part in pair))
    refused(result, 1, str(events / "below a file"), "cannot be written")


def test_simulate_into_replay_through_a_pipe(tmp_path: Path):
    events = piped("simulate", "--events", 400, "--seed", 5)
    assert (events.returncode, events.stderr) == (0, b"")
    result = piped("replay", "-", "--out", tmp_path / "out", "--json", stdin=events.stdout)
    assert (result.returncode, result.stderr) == (0, b"")
    summary = json.loads(result.stdout)
    _, books = simulate(SimulatorParams(seed=5), 400)
    assert (books.events, books.dead_letters) == (summary["events"], summary["dead_letters"])


def test_simulate_ends_without_an_error_when_its_reader_has_ended():
    with subprocess.Popen(  # noqa: S603  our own command
        [*CSQ, "simulate", "--events", "20000"],
        cwd=ROOT,
        env=ENVIRON,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"specversion"')
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        process.wait(30)


# Import.


@pytest.fixture
def table(tmp_path: Path) -> tuple[Path, Path]:
    """A mapping and an export with one bad row."""
    (tmp_path / "map.yaml").write_text(MAPPING, encoding="utf-8")
    rows = "id,time,age\nc1,2024-01-01T00:00:00Z,31\nc2,yesterday,32\nc3,2024-01-01T00:00:02Z,33\n"
    (tmp_path / "export.csv").write_text(rows, encoding="utf-8")
    return tmp_path / "map.yaml", tmp_path / "export.csv"


def test_import_writes_events_and_reports_bad_rows(table: tuple[Path, Path], tmp_path: Path):
    mapping, export = table
    result = csq("import", "--mapping", mapping, export, "--out", tmp_path / "out.jsonl")
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    ids = [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert ids == ["c1", "c3"]
    assert "3 rows read, 1 bad, 0 without event; events: csq.customer.updated 2" in result.stderr
    assert "export.csv:3: " in result.stderr


def test_import_strict_stops_at_a_bad_row(table: tuple[Path, Path], tmp_path: Path):
    mapping, export = table
    refused(csq("import", "--mapping", mapping, export, "--strict", "--out", tmp_path / "out"), 1, "export.csv:3: ")


def test_import_refuses_what_is_missing_or_wrong(table: tuple[Path, Path], tmp_path: Path):
    mapping, export = table
    bad = tmp_path / "bad.yaml"
    bad.write_text(MAPPING.replace("times:", "tims:"), encoding="utf-8")
    out = ("--out", tmp_path / "out")
    refused(csq("import", "--mapping", bad, export, *out), 1, "bad.yaml", "tims", "times")
    refused(csq("import", "--mapping", tmp_path / "no.yaml", export, *out), 1, "no.yaml")
    refused(csq("import", "--mapping", mapping, tmp_path / "no.csv", *out), 1, "no.csv")
    refused(csq("import", "--mapping", mapping, export, "--out", export / "x"), 1, "cannot be written")
    refused(csq("import", export, *out), 2, "--mapping")


def test_imported_events_can_be_replayed(table: tuple[Path, Path], tmp_path: Path):
    mapping, export = table
    csq("import", "--mapping", mapping, export, "--out", tmp_path / "out.jsonl")
    summary = json.loads(csq("replay", tmp_path / "out.jsonl", "--out", tmp_path / "out", "--json").stdout)
    assert summary["events"] == {"csq.customer.updated": 2}


def test_a_guess_can_be_used_as_a_mapping(tmp_path: Path):
    (tmp_path / "x.csv").write_text("ticket,time,from,text\n1,2026-01-05T10:00:00Z,client,My hat\n", "utf-8")
    guessed = csq("import", "--guess", tmp_path / "x.csv", "--out", tmp_path / "m.yaml")
    assert (guessed.exit_code, guessed.stdout) == (0, ""), guessed.output
    assert csq("import", "--guess", tmp_path / "x.csv").stdout == (tmp_path / "m.yaml").read_text("utf-8")
    made = csq("import", "--mapping", tmp_path / "m.yaml", tmp_path / "x.csv")
    assert json.loads(made.stdout)["data"]["text"] == "My hat"
    refused(
        csq("import", "--guess", "--mapping", tmp_path / "m.yaml", tmp_path / "x.csv"), 2, "either --mapping or --guess"
    )
    refused(csq("import", "--guess", tmp_path / "none.csv"), 1, "none.csv: cannot be read")


def test_attributes_that_the_settings_do_not_declare_are_named_by_import_and_by_replay(
    table: tuple[Path, Path], tmp_path: Path
):
    mapping, export = table
    made = csq("import", "--mapping", mapping, export, "--out", tmp_path / "out.jsonl")
    assert "only where the settings declare them: churn: {attributes: {age: number}}" in made.stderr

    silent = csq("replay", tmp_path / "out.jsonl", "--out", tmp_path / "out")
    assert "attributes without effect: age; declare them in churn.attributes\n" in silent.stdout
    assert "csq_attributes_ignored_total 2.0" in (tmp_path / "out" / "metrics.prom").read_text("utf-8")

    (tmp_path / "my.yaml").write_text("churn: {attributes: {age: number}}", "utf-8")
    declared = csq("replay", "-c", tmp_path / "my.yaml", tmp_path / "out.jsonl", "--out", tmp_path / "declared")
    assert declared.exit_code == 0
    assert "attributes without effect" not in declared.stdout


# Settings.


def test_config_prints_the_effective_settings_which_read_back_as_the_same(tmp_path: Path):
    config = tmp_path / "my.yaml"
    config.write_text("order: {out_of_order_seconds: 5}\nlabels: {queues: [sales]}\n", encoding="utf-8")
    first = csq("config", "-c", config, env={"CSQ_HTTP__PORT": "9999"})
    assert first.exit_code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(first.stdout, encoding="utf-8")
    again = csq("config", "-c", printed)
    assert first.stdout == again.stdout
    settings = load(printed, {})
    assert (settings.order.out_of_order_seconds, settings.labels.queues, settings.http.port) == (5.0, ("sales",), 9999)


def test_config_without_a_file_prints_the_defaults(tmp_path: Path):
    (tmp_path / "defaults.yaml").write_text(csq("config").stdout, encoding="utf-8")
    assert load(tmp_path / "defaults.yaml", {}) == Settings()


def test_config_hides_secrets(tmp_path: Path):
    config = tmp_path / "my.yaml"
    config.write_text("kafka: {security: {sasl.password: hunter2}}\n", encoding="utf-8")
    result = csq("config", "-c", config)
    assert result.exit_code == 0
    assert "sasl.password" in result.stdout
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    "command", [("config",), ("run",), ("simulate", "--events", "3"), ("replay", "-", "--out", "x")]
)
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("order: {out_of_order_secs: 5}", ("line 1", "order.out_of_order_secs", "unknown key", "out_of_order_seconds")),
        ("\norder: {out_of_order_seconds: soon}", ("line 2", "order.out_of_order_seconds", "got", "soon", "expected")),
        ("order: {out_of_order_seconds: -1}", ("order.out_of_order_seconds", "expected")),
        ("oder: {}", ("oder", "order")),
        ("order: [", ("line",)),
        ("- a list", ("expected settings such as",)),
    ],
    ids=["key", "value", "range", "section", "no YAML", "list"],
)
def test_wrong_settings_are_refused_by_every_command(
    tmp_path: Path, command: tuple[str, ...], text: str, parts: tuple[str, ...]
):
    config = tmp_path / "my.yaml"
    config.write_text(text, encoding="utf-8")
    refused(csq(*command, "-c", config), 2, str(config), *parts)


def test_wrong_settings_in_the_environment_are_refused():
    refused(csq("config", env={"CSQ_HTTP__PORT": "many"}), 2, "CSQ_HTTP__PORT", "http.port", "many")


def test_a_missing_file_of_settings_is_refused(tmp_path: Path):
    refused(csq("config", "-c", tmp_path / "no.yaml"), 2, "no.yaml", "No such file", "config/default.yaml")


# Schema.


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    result = csq("schema")
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_schema_is_a_json_schema_of_all_types(schema: dict[str, Any]):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(TYPES) == set(schema["discriminator"]["mapping"])


def test_schema_accepts_what_csq_accepts_and_refuses_what_it_refuses(schema: dict[str, Any]):
    validator = jsonschema.Draft202012Validator(schema)
    deliveries, books = simulate(SimulatorParams(broken_share=0.3, duplicate_share=0.0), 1_500)
    refused_anyway = 0
    kinds = set()
    for delivery in deliveries:
        try:
            event = json.loads(delivery.raw)
        except ValueError:
            continue
        if validator.is_valid(event):
            kinds.add(event["type"])
        else:
            refused_anyway += 1
    assert len(kinds) > 12
    by_form = ("not_an_event", "unknown_type", "invalid_field")
    assert refused_anyway == sum(books.dead_letters[reason] for reason in by_form)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_named_and_is_no_traceback():
    result = csq("simulate", "--events", "2000", "--out", "/dev/full")
    assert result.exit_code == 1
    assert "Error: /dev/full: cannot be written: No space left on device; what is in it is not whole" in result.stderr
