"""`csq deadletters list` and `show`, on files and on the topic."""

import json
import re
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from flows.commands.deadletters.letters import MEANING
from flows.commands.main import main
from operators.connectors.embedded import EmbeddedBroker
from operators.domain.wire.decode import REASONS
from operators.domain.wire.outgoing import dead_letter
from tests.builders import START, envelope, raw
from tests.letters import BINARY, COMPLAINT, CUT, FAST, STAGE, broken, mended, produce, refused, write
from tests.streams import ROOT

FOREIGN = refused(raw(COMPLAINT, START, "e9", "mail/2", severity=0), 9)
LETTERS = [broken("e1", 1), broken("e2", 2), mended("e3", 3), CUT, BINARY, STAGE, FOREIGN]

_names = (f"dead-{n}" for n in count())


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    return next(_names)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "csq.deadletters.jsonl", LETTERS)


def csq(*arguments: object, topic: str | None = None, broker: EmbeddedBroker | None = None) -> Result:
    env = {"CSQ_KAFKA__BROKERS": f"['{broker.bootstrap_servers}']", "CSQ_KAFKA__LIBRDKAFKA": FAST} if broker else {}
    env |= {"CSQ_KAFKA__OUTPUTS__DEADLETTERS": topic} if topic else {}
    return CliRunner().invoke(main, ["deadletters", *map(str, arguments)], env=env)


def printed(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return result.stderr


# ---- list


def test_letters_are_counted_by_reason_source_and_hour(file: Path) -> None:
    counts = json.loads(printed(csq("list", file, "--json")))

    assert (counts["letters"], counts["wanted"], counts["where"]) == (7, 7, str(file))
    assert counts["reasons"] == {
        "invalid_field": 3,
        "time_in_future": 1,
        "too_large": 1,
        "not_json": 1,
        "stage_failed": 1,
    }
    assert counts["sources"] == {"shop/1": 3, "-": 3, "mail/2": 1}
    assert counts["hours"] == {"-": 3, "2026-01-05 08:00": 4}


def test_the_newest_are_shown_with_where_they_lie_and_what_was_expected(file: Path) -> None:
    shown = printed(csq("list", file, "--limit", 4))

    assert "7 dead letters in" in shown
    assert re.search(r"^invalid_field\s+3$", shown, re.MULTILINE)
    newest = shown.split("newest\n")[1].splitlines()
    assert len(newest) == 4
    assert f"{file}:1  2026-01-05T08:00:00.000Z  invalid_field  $.data.severity: Expected `int` <= 5" in shown


def test_none_is_shown_where_none_is_asked_for(file: Path) -> None:
    assert "newest" not in printed(csq("list", file, "--limit", 0))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--reason", "too_large"), 1),
        (("--reason", "too_large", "--reason", "invalid_field"), 4),
        (("--source", "mail/2"), 1),
        (("--source", "nobody"), 0),
        (("--since", "2026-01-05T08:00:00Z"), 4),
        (("--since", "2026-01-05T08:00:01Z"), 0),
        (("--since", "2026-01-05T09:00:00+01:00", "--source", "shop/1", "--reason", "invalid_field"), 2),
    ],
)
def test_filters_say_which_letters_are_counted(file: Path, options: tuple[str, ...], wanted: int) -> None:
    assert json.loads(printed(csq("list", file, *options, "--json")))["wanted"] == wanted


def test_nothing_that_is_wanted_is_said_in_words(file: Path, tmp_path: Path) -> None:
    assert f"none of the 7 dead letters in {file} matches" in printed(csq("list", file, "--source", "nobody"))
    assert f"no dead letters in {tmp_path / 'empty'}" in printed(csq("list", write(tmp_path / "empty", [])))


def test_several_files_are_one_and_gzip_is_read(file: Path, tmp_path: Path) -> None:
    packed = write(tmp_path / "more.jsonl.gz", LETTERS[:2])
    assert json.loads(printed(csq("list", file, packed, "--json")))["letters"] == 9


def test_no_letter_can_write_to_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\u202e"
    value = json.dumps(envelope(COMPLAINT, source=f"shop{evil}", severity=9)).encode()
    letter = dead_letter(value, f"odd{evil}", f"detail{evil}", f"origin{evil}", 1)
    path = write(tmp_path / "letters", [letter])

    for shown in (printed(csq("list", path)), printed(csq("show", f"{path}:1"))):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\\x1b[2J" in shown


def test_the_topic_gives_the_same_counts_as_a_file(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, LETTERS, [START + 3_600 * n for n in range(7)])

    counts = json.loads(printed(csq("list", "--json", topic=topic, broker=broker)))

    assert (counts["letters"], counts["where"]) == (7, topic)
    assert counts["reasons"]["invalid_field"] == 3
    assert counts["hours"] == {f"2026-01-05 {hour:02}:00": 1 for hour in range(8, 15)}, "when it was refused"
    assert counts["newest"][0]["id"] == FOREIGN.key
    assert counts["newest"][0]["place"].startswith(f"{topic}:")


def test_since_is_the_time_of_refusal_in_a_topic(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, LETTERS, [START] * 6)  # the last one now
    assert json.loads(printed(csq("list", "--since", "1h", "--json", topic=topic, broker=broker)))["wanted"] == 1


def test_an_empty_topic_is_said_to_be_empty(broker: EmbeddedBroker, topic: str) -> None:
    Producer({"bootstrap.servers": broker.bootstrap_servers}).list_topics(topic, timeout=20)  # asking makes it
    assert printed(csq("list", topic=topic, broker=broker)) == f"no dead letters in {topic}\n"


# ---- show


def test_a_letter_is_shown_with_its_origin_its_bytes_and_what_to_do(file: Path) -> None:
    shown = printed(csq("show", f"{file}:1"))

    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in shown.split("\n\n")[0].splitlines() if "  " in line)
    assert facts["letter"] == f"{file}:1"
    assert facts["read from"] == "csq.events[2], position 1"
    assert facts["reason"].startswith("invalid_field: a field is missing")
    assert facts["field"] == "$.data.severity"
    assert facts["to do"].startswith("correct the producer")
    assert "sent again  never" in shown
    assert "would be left: invalid_field" in shown
    assert '"severity": 9' in shown


def test_a_letter_that_is_accepted_now_says_so(file: Path) -> None:
    assert "would be accepted; csq deadletters redrive sends it" in printed(csq("show", f"{file}:3"))


def test_a_letter_is_found_by_the_place_where_its_event_was_read(
    file: Path, broker: EmbeddedBroker, topic: str
) -> None:
    produce(broker.bootstrap_servers, topic, LETTERS)
    for result in (csq("show", "csq.events[2]@2", file), csq("show", "csq.events[2]@2", topic=topic, broker=broker)):
        assert '"id": "e2"' in printed(result)


def test_a_letter_is_found_by_its_place_in_the_topic(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, LETTERS)
    newest = json.loads(printed(csq("list", "--json", topic=topic, broker=broker)))["newest"]
    for letter in newest:
        assert letter["id"].replace("@", ", position ") in printed(
            csq("show", letter["place"], topic=topic, broker=broker)
        )


def test_bytes_that_are_no_text_are_shown_as_escapes_and_given_as_they_are(file: Path) -> None:
    assert "\\xff\\x00\\x1b[31m" in printed(csq("show", f"{file}:5"))
    assert csq("show", f"{file}:5", "--raw").stdout_bytes == BINARY.value


def test_long_bytes_are_cut_on_the_screen_only(file: Path) -> None:
    shown = printed(csq("show", f"{file}:4"))
    assert "65,536 bytes" in shown
    assert "and 61,536 characters more; --raw gives all" in shown
    assert csq("show", f"{file}:4", "--raw").stdout_bytes == CUT.value


# ---- errors


def test_neither_file_nor_brokers_is_an_error_that_says_what_to_name() -> None:
    for command in (("list",), ("show", "x@1"), ("redrive",)):
        message = failed(csq(*command))
        assert "the settings name no brokers (kafka.brokers) whose topic csq.deadletters could be read" in message
        assert "-c" in message


def test_brokers_that_do_not_answer_are_named() -> None:
    env = {"CSQ_KAFKA__BROKERS": "['127.0.0.1:1']", "CSQ_KAFKA__CONNECT_SECONDS": "1"}
    message = failed(CliRunner().invoke(main, ["deadletters", "list"], env=env))
    assert "Kafka: no answer from 127.0.0.1:1 in 1 s" in message
    assert "Check kafka.brokers" in message


def test_a_topic_that_is_not_there_is_named(broker: EmbeddedBroker) -> None:
    message = failed(csq("list", topic="never-made", broker=broker))
    assert "topic 'never-made' cannot be read" in message
    assert "kafka.outputs.deadletters sets its name" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"specversion": "1.0"}\n', ":1: is no dead letter"),
        (b"\n\nnothing\n", ":3: is no dead letter"),
        (b'{"reason": "not_json", "raw_base64": "!"}\n', ":1: is no dead letter"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_with_the_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    message = failed(csq("list", path))
    assert f"{path}{says}" in message
    assert "expected a line of csq.deadletters.jsonl" in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "x.jsonl.gz"
    damaged.write_bytes(b"no gzip")
    for path in (tmp_path / "missing", tmp_path, damaged):
        assert f"{path}: cannot be read: " in failed(csq("list", path))


def test_a_letter_that_is_not_there_is_named(file: Path) -> None:
    assert f"no dead letter {file}:99 in {file}" in failed(csq("show", f"{file}:99"))


def test_a_time_that_cannot_be_read_is_refused(file: Path) -> None:
    result = csq("list", file, "--since", "yesterday")
    assert result.exit_code == 2
    assert "got 'yesterday', expected a duration (90m" in result.stderr


# ---- words


def test_every_reason_has_the_words_of_the_table_in_the_documents() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8").split("\n## Dead letters\n")[1]
    rows = re.findall(r"^\| `(\w+)` \| (\S.*) \| (\S.*) \|$", text.split("| reason |")[1], re.MULTILINE)
    assert {reason: (means, to_do) for reason, means, to_do in rows} == MEANING
    assert list(MEANING) == list(REASONS)
