"""The documents agree with the program: commands, options, files, settings, metrics, examples and messages."""

import json
import re
import shlex
import socket
from pathlib import Path

import click
import msgspec
import pytest
import yaml
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from flows.commands.main import COMMANDS, main, subcommand
from flows.host.web.server import WebError, WebServer, application
from flows.settings.load import load
from flows.settings.model import Settings
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.files.jsonl import dead_letter_line
from operators.connectors.kafka.errors import KafkaInputError
from operators.connectors.kafka.librdkafka import CLOSED, OPEN
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource
from operators.domain.wire.decode import REASONS, Door
from operators.domain.wire.events import TYPE_OF, TYPES
from operators.domain.wire.outgoing import TYPES as PUBLISHED
from operators.domain.wire.outgoing import dead_letter
from operators.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / page for page in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
OTHER_COMMANDS = {
    *("curl", "grep", ".", "cat", "cp", "sqlite3", "docker", "promtool", "amtool", "kubectl"),
    *("sha256sum", "python3.11", "/opt/csq/bin/pip", "/opt/csq/bin/csq"),
    *("groupadd", "install", "systemctl", "journalctl"),
}
"""Commands of other programs that the documents use."""
DOOR = Door(65_536, 300.0, 946_080_000.0)
IN_2026 = 1_780_000_000.0


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(page: str | Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """The text under a heading of the second level."""
    return re.split(r"^## ", read(page).split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """The text between single backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def commands(line: str) -> list[list[str]]:
    """The simple commands of a line for a shell."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in {"|", "&&", ">", "&"}:
            found.append([])
        elif found[-1] or not re.fullmatch(r"[A-Z_]+=\S*", word):
            found[-1].append(word)
    return [words for words in found if words]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words begin with, and what is left of them: `csq deadletters list` is one of a group."""
    command, rest = subcommand(words[1]), words[2:]
    if isinstance(command, click.Group) and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def known_setting(path: str) -> bool:
    """Whether `section.key` is a setting."""
    there: object = Settings()
    for part in path.split("."):
        if not hasattr(there, part):
            return False
        there = getattr(there, part)
    return True


# ---- commands, files, links


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_a_block_is_one_that_the_program_takes(page):
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    for line in "".join(blocks(read(page), "sh")).replace("\\\n", " ").splitlines():
        for words in commands(line):
            if words[0] == "csq":
                command, rest = command_of(words)
                assert command.make_context(words[1], rest).params, line  # raises for an option it does not have
            elif words[0] == "make":
                assert set(words[1:2]) <= targets, line
            else:
                assert words[0] in OTHER_COMMANDS or words[:2] == ["python", "-m"], line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_the_text_exists(page):
    for span in spans(read(page)):
        for words in commands(span) if re.match(r"(CSQ_\S+ )?csq \w", span) else []:
            command = command_of(words)[0] if words[0] == "csq" else None
            options = {option for param in command.params for option in param.opts} if command else set()
            assert {word for word in words if word.startswith("--")} <= options, span


def test_the_readme_names_every_command_of_the_program():
    assert set(re.findall(r"^\| `csq ([\w-]+)`", read("README.md"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(read(page))):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.+)$", read(target), re.MULTILINE)), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page):
    for span in spans(read(page)):
        if span.endswith("x.py"):  # any stage
            continue
        if re.fullmatch(r"(flows|operators|config|docs|tests|bench|grafana)/[\w./*-]*", span):
            assert list(ROOT.glob(span.rstrip("/"))) or span == "bench/latest.json", span
        elif re.fullmatch(r"[a-z_]+\.py", span):
            assert list((ROOT / "operators").rglob(span)) + list((ROOT / "flows").rglob(span)), span


def test_the_index_has_every_page():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/README.md"))) >= pages


# ---- settings and metrics


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_that_is_named_exists(page):
    sections = "|".join(field.name for field in msgspec.structs.fields(Settings))
    named = [span for span in spans(read(page)) if re.fullmatch(rf"({sections})\.[a-z_.]+", span)]
    variables = re.findall(r"\bCSQ_([A-Z_]+__[A-Z_]+)=", read(page))
    files = re.compile(r"\.(py|yaml|md)$")

    theirs = OPEN | CLOSED.keys()
    assert [path for path in named if not files.search(path) and path not in theirs and not known_setting(path)] == []
    assert [v for v in variables if not known_setting(v.lower().replace("__", "."))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_metric_that_is_named_exists(page):
    named = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in re.findall(r"\bcsq_[a-z_]+", read(page))}

    assert named - set(CATALOGUE) == set()


@pytest.mark.parametrize(
    ("page", "says", "true"),
    [
        ("README.md", "180 s unless set", Settings().promises.limit_seconds == 180),
        ("README.md", "churn probability is 0.4 or more", Settings().churn.at_risk_from == 0.4),
        ("README.md", "http://127.0.0.1:9464/metrics", (Settings().http.host, Settings().http.port) == ("127.0.0.1", 9464)),
        ("docs/events.md", "2 seconds unless set", Settings().order.out_of_order_seconds == 2),
        ("docs/events.md", "At most 64 KiB", Settings().intake.max_bytes == 64 * 1024),
        ("docs/events.md", "5 minutes ahead of the clock", Settings().intake.ahead_seconds == 300),
        ("docs/events.md", "30 years old", Settings().intake.max_age_seconds == 30 * 365 * 86_400),
        ("docs/events.md", "an hour of event time", Settings().dedupe.window_seconds == 3_600),
        ("docs/events.md", "at most 50,000 per lane", Settings().dedupe.max_ids == 50_000),
        ("docs/events.md", "(14 days)", Settings().conversations.closed_days == 14),
        ("docs/events.md", "(24 for chat, 168 for mail, 72 for others)", Settings().conversations.auto_close_hours == {"chat": 24, "email": 168, "other": 72}),
        ("docs/events.md", "(7 days)", Settings().conversations.unanswered_days == 7),
        ("docs/events.md", "nothing for a day", Settings().queues.agent_seconds == 86_400),
        ("docs/events.md", "is `events`, the default", Settings().customers.label_from == "events"),
        ("docs/architecture.md", "crc32(id) % 64", Settings().state.lanes == 64),
        ("docs/architecture.md", "Every quarter of a second", Settings().kafka.tick_seconds == 0.25),
        ("CHANGELOG.md", "one of eleven reasons", len(REASONS) == 11),
    ],
)  # fmt: skip
def test_numbers_in_the_text_are_those_of_the_program(page, says, true):
    assert says in read(page)
    assert true


# ---- events


def incoming() -> list[dict[str, object]]:
    return [json.loads(block) for block in blocks(section("docs/events.md", "What comes in"), "json")]


def outgoing() -> list[dict[str, object]]:
    return [json.loads(block) for block in blocks(section("docs/events.md", "What goes out"), "json")]


@pytest.mark.parametrize("example", incoming(), ids=lambda example: f"{example['type']}-{example['id']}")
def test_every_example_of_an_event_is_valid(example):
    decoded = DOOR.decode_one(json.dumps(example).encode(), IN_2026)

    assert isinstance(decoded, tuple), decoded
    assert TYPE_OF[type(decoded[1])] == example["type"]


def test_every_type_of_event_has_an_example_and_an_explanation():
    assert {example["type"] for example in incoming()} == set(TYPES)
    assert set(re.findall(r"\*\*`(csq\.[a-z_.]+)`\*\*", section("docs/events.md", "What comes in"))) == set(TYPES)
    assert f"one of the {len(TYPES)} types below" in read("docs/events.md")


def test_the_examples_have_names_of_their_own():
    assert len({example["id"] for example in incoming()}) == len(incoming())


def test_every_outgoing_type_has_one_example_with_the_fields_of_its_struct():
    structs = {kind: struct for struct, kind in PUBLISHED.items()}

    assert sorted(example["type"] for example in outgoing()) == sorted(structs)
    for example in outgoing():
        struct = structs[example["type"]]
        always = [field.name for field in msgspec.structs.fields(struct) if field.default is not msgspec.UNSET]
        assert list(example["data"]) == always
        msgspec.convert(example["data"], struct)


def test_the_examples_of_what_comes_in_give_those_of_what_goes_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CSQ_LABELS__QUEUES", "[orders]")
    monkeypatch.setenv("CSQ_LABELS__CHANNELS", "[chat]")
    story = tmp_path / "story.jsonl"
    story.write_text("".join(json.dumps(event) + "\n" for event in sorted(incoming(), key=lambda event: event["time"])))

    settings = tmp_path / "my.yaml"
    settings.write_text("labels: {queues: [orders], channels: [chat]}\n", encoding="utf-8")
    done = CliRunner().invoke(
        main, ["replay", str(story), "--out", str(tmp_path / "out"), "--json", "-c", str(settings)]
    )

    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["dead_letters"] == {}
    assert sum(summary["events"].values()) == len(incoming())
    for example in outgoing()[:-1]:
        lines = (tmp_path / "out" / f"{example['type']}.jsonl").read_text(encoding="utf-8").splitlines()
        made = {event["id"]: event for event in map(json.loads, lines)}
        expected, actual = flat(example), flat(made[example["id"]])
        numbers = [path for path, value in expected.items() if isinstance(value, float)]
        assert [actual[path] for path in numbers] == pytest.approx([expected[path] for path in numbers], abs=0.1)
        assert actual == expected | {path: actual[path] for path in numbers}  # so a model may be tuned a little


def flat(value: object, path: str = "$") -> dict[str, object]:
    """Leaves by their path; numbers can then be compared with a tolerance."""
    if not isinstance(value, dict):
        return {path: value}
    return {at: leaf for key, part in value.items() for at, leaf in flat(part, f"{path}.{key}").items()}


# ---- dead letters


def test_every_reason_of_a_dead_letter_is_explained():
    rows = re.findall(r"^\| `(\w+)` \| \S.* \| \S.* \|$", section("docs/events.md", "Dead letters"), re.MULTILINE)

    assert rows == list(REASONS)


def test_the_example_of_a_dead_letter_is_what_the_program_writes():
    [example] = map(json.loads, blocks(section("docs/events.md", "Dead letters"), "json"))
    complaint = next(event for event in incoming() if event["type"] == "csq.complaint.opened")
    raw = json.dumps(complaint | {"data": complaint["data"] | {"severity": 9}}).encode()
    refusal = DOOR.decode_one(raw, IN_2026)
    line = json.loads(dead_letter_line(dead_letter(raw, refusal.reason, refusal.detail, "events.jsonl", 17)))

    assert example | {"raw": ""} == line | {"raw": ""}
    assert list(example) == list(line)


def test_several_hundred_levels_of_an_unknown_field_are_taken_as_the_page_says():
    event = incoming()[0]
    raw = json.dumps(event | {"data": event["data"] | {"more": 0}}).replace(
        '"more": 0', f'"more": {"[" * 200}{"]" * 200}'
    )

    assert isinstance(DOOR.decode_one(raw.encode(), IN_2026), tuple)


# ---- getting started


def test_the_settings_in_the_guide_are_valid(tmp_path):
    for number, block in enumerate(blocks(read("docs/getting-started.md"), "yaml")):
        if "kafka" in yaml.safe_load(block):
            file = tmp_path / f"{number}.yaml"
            file.write_text(block, encoding="utf-8")
            assert load(file, {}).kafka.brokers


def test_the_import_in_the_guide_gives_the_waits_that_it_says(tmp_path, monkeypatch):
    guide = read("docs/getting-started.md")
    monkeypatch.chdir(tmp_path)
    Path("tickets.csv").write_text(blocks(guide, "csv")[0], encoding="utf-8")
    Path("tickets.yaml").write_text(next(b for b in blocks(guide, "yaml") if b.startswith("source:")), encoding="utf-8")
    lines = [line for block in blocks(guide, "sh") for line in block.splitlines() if "tickets" in line]

    with EmbeddedBroker(["csq.events"]) as broker:
        Path("my.yaml").write_text(f"kafka: {{brokers: ['{broker.bootstrap_servers}']}}", encoding="utf-8")
        for line in lines:
            done = CliRunner().invoke(main, shlex.split(line)[1:])
            assert done.exit_code == 0, done.output
    assert "3 events sent to csq.events in " in done.stdout

    summary = json.loads(Path("out-tickets/summary.json").read_text(encoding="utf-8"))
    metrics = Path("out-tickets/metrics.prom").read_text(encoding="utf-8")
    assert (summary["reply_seconds"]["count"], summary["reply_seconds"]["p50"]) == (1, 360)
    assert 'csq_reply_rounds_total{channel="other",outcome="missed",queue="other",responder="human"} 1.0' in metrics
    assert 'csq_open_waits{queue="other"} 1.0' in metrics


def test_the_summary_in_the_guide_looks_like_what_replay_prints(tmp_path):
    shown = next(block for block in blocks(read("docs/getting-started.md"), "text") if "repeats" in block)
    story = tmp_path / "story.jsonl"
    story.write_text("".join(json.dumps(event) + "\n" for event in incoming()) + "no event\n")

    printed = CliRunner().invoke(main, ["replay", str(story), "--out", str(tmp_path / "out")]).stdout

    def shape(text: str) -> list[str]:
        lines = [re.sub(r"\d[\d.,]*|\s+", " ", line).split() for line in text.splitlines()]
        return [
            " ".join(words[:4]) for words in lines if words and words[0] in {"events", "seconds", "model", "results"}
        ]

    assert shape(shown)[:3] == shape(printed)[:3]


def test_the_files_of_a_replay_are_those_that_the_guide_lists(tmp_path):
    story = tmp_path / "story.jsonl"
    story.write_text(json.dumps(incoming()[0]) + "\n")

    CliRunner().invoke(main, ["replay", str(story), "--out", str(tmp_path / "out")])

    listed = re.findall(r"^\| `([\w.]+\.(?:jsonl?|prom))` \|", read("docs/getting-started.md"), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "out").iterdir())


def test_the_bad_rows_and_mappings_in_the_guide_to_importing_are_reported_as_it_says(tmp_path, monkeypatch):
    guide = read("docs/importing.md")
    rows, faults = blocks(guide, "text")
    mapping = blocks(guide, "yaml")[0]
    monkeypatch.chdir(tmp_path)

    def printed(mapping: str, lines: list[str]) -> str:
        Path("m.yaml").write_text(mapping, encoding="utf-8")
        Path("tickets.csv").write_text("\n".join(lines), encoding="utf-8")
        done = CliRunner().invoke(main, ["import", "--mapping", "m.yaml", "tickets.csv", "--out", "tickets.jsonl"])
        return done.stderr.strip()

    row = "17,31.10.2017 22:08,customer,ann,Hello,"
    file = ["ticket,when,from,who,body,stars", *[row] * 20]
    file[2] = row.replace("31.10.2017 22:08", "yesterday")
    file[6] = row.removesuffix(",")
    file[8] = f"{row}five"
    file[11] = row.replace("Hello", '"Hello')
    file[19] = row.replace("ann", "x" * 600)
    assert printed(mapping, file) == rows.strip()
    field, zone, column, is_json, query = faults.splitlines()
    assert printed(mapping.replace("channel: email", "channel: email\n      colour: red"), file).startswith(field[:-3])
    assert printed(mapping.replace("Europe/Berlin", "Berlin"), file) == zone
    assert printed(mapping, [file[0].replace("who", "author")]) == column
    assert printed(mapping, ['[{"ticket": 17}]']) == is_json
    asked = mapping.replace("file: {encoding: utf-8", """file: {sql: "SELECT whoo FROM 'tickets.csv'\"""")
    assert printed(asked, file).startswith(query[:-3])


def messages() -> list[str]:
    return [block.strip() for block in blocks(section("docs/getting-started.md", "When something fails"), "text")]


def test_the_message_about_a_port_in_the_guide_is_the_real_one():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1.0, list), port=port)
        with pytest.raises(WebError) as raised:
            server.start()

    assert f"Error: {raised.value}".replace(str(port), "9464") in messages()


def test_the_message_about_wrong_settings_in_the_guide_is_the_real_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("kafka:\n  broker: [x]\nhttp:\n  port: abc\n", encoding="utf-8")

    done = CliRunner().invoke(main, ["config", "-c", "my.yaml"])

    assert done.exit_code == 2
    assert done.stderr[done.stderr.index("Error: ") :].strip() in messages()


def test_the_message_about_a_file_in_the_guide_is_the_real_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(main, ["replay", "shop.jsonl", "--out", "out"])

    assert done.stderr.strip() in messages()


def test_the_message_about_kafka_in_the_guide_begins_and_ends_like_the_real_one():
    source = KafkaSource(KafkaParams(brokers=("127.0.0.1:1",), connect_seconds=1.0), ["csq.events"])
    with pytest.raises(KafkaInputError) as raised:
        source.list_parts()

    [shown] = [message for message in messages() if message.startswith("Kafka: ")]
    assert str(raised.value).split(": ")[:3] == shown.split(": ")[:3]  # what librdkafka says between varies
    assert str(raised.value).split(". ")[-1] == shown.split(". ")[-1]


def test_the_picture_of_the_live_view_is_one_of_the_present_view():
    picture = read("docs/images/live.svg").replace("&#160;", " ")

    for word in ("events/s", "waiting", "in 15 min", "Satisfaction", "At risk", "Models", "/metrics"):
        assert word in picture


def test_help_of_each_command_can_be_shown():
    for command in map(subcommand, COMMANDS):
        assert isinstance(command, click.Command)
        assert command.get_help(click.Context(command, info_name=command.name))
