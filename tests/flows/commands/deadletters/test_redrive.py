"""`csq deadletters redrive` sends accepted events once, unchanged; the others stay and are reported."""

import gzip
import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.commands.deadletters.letters import LetterFilter
from flows.commands.deadletters.redrive import Redrive
from flows.commands.main import main
from flows.commands.rate import RateLimit
from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.files.letters import DeadLettersError, FileBox, Letter
from operators.domain.wire.events import AnyEvent
from operators.domain.wire.outgoing import Outgoing, dead_letter
from tests.builders import START, raw
from tests.letters import (
    BINARY,
    COMPLAINT,
    CUT,
    FAST,
    MESSAGE,
    STAGE,
    STRICT,
    broken,
    consume,
    mended,
    produce,
    refused,
    write,
)
from tests.servers.kafka import Kafka

LETTERS = [
    mended("e1", 1),
    broken("e2", 2),
    mended("e3", 3),
    CUT,
    BINARY,
    STAGE,
    mended("e4", 0, origin="csq.events[0]"),
]
GOOD = [letter.value for letter in LETTERS if dict(letter.headers)["reason"] == "time_in_future"]

_names = (f"redrive-{n}" for n in count())


@pytest.fixture
def topic() -> str:
    return next(_names)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "csq.deadletters.jsonl", LETTERS)


def csq(
    *arguments: object, topic: str | None = None, broker: EmbeddedBroker | Kafka | None = None, **env: str
) -> Result:
    """`topic` is that of the dead letters; events go to its namesake with `.events` behind."""
    if broker:
        address = broker.address if isinstance(broker, Kafka) else broker.bootstrap_servers
        env |= {"CSQ_KAFKA__BROKERS": f"['{address}']", "CSQ_KAFKA__LIBRDKAFKA": FAST}
    if topic:
        env |= {"CSQ_KAFKA__OUTPUTS__DEADLETTERS": topic, "CSQ_KAFKA__TOPICS": f"['{topic}.events']"}
    return CliRunner().invoke(main, ["deadletters", *map(str, arguments)], env=env)


def redriven(*arguments: object, **more: Any) -> dict[str, Any]:
    result = csq("redrive", *arguments, "--json", **more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def from_topic(letters: list[Outgoing], topic: str) -> list[Outgoing]:
    """The letters as if their events had been read from this test's own topic."""
    return [
        Outgoing(
            letter.stream,
            letter.key.replace("csq.events", f"{topic}.events"),
            letter.value,
            tuple((name, value.replace("csq.events", f"{topic}.events")) for name, value in letter.headers),
        )
        for letter in letters
    ]


# ---- to a file


def test_accepted_events_go_to_a_file_and_the_others_are_reported(file: Path, tmp_path: Path) -> None:
    outcome = redriven(file, "--out", tmp_path / "again.jsonl")

    assert (tmp_path / "again.jsonl").read_bytes().splitlines() == GOOD
    assert (outcome["wanted"], outcome["sent"], sum(outcome["left"].values())) == (7, 3, 4)
    assert {why.split(":")[0] for why in outcome["left"]} == {"invalid_field", "too_large", "not_json", "stage_failed"}
    assert outcome["examples"]["invalid_field: $.data.severity: Expected `int` <= 5"] == f"{file}:2"


def test_the_text_has_the_same_numbers(file: Path, tmp_path: Path) -> None:
    shown = csq("redrive", file, "--out", tmp_path / "again.jsonl").stdout

    assert f"3 of 7 dead letters in {file} sent again: 3 to {tmp_path / 'again.jsonl'}" in shown
    assert "4 would be refused again, and are left:" in shown
    assert "it holds what stage queues saw, not the raw event" in shown
    assert "its bytes are cut at 65536; the whole event is where it was read" in shown


def test_a_second_run_sends_nothing_and_says_why(file: Path, tmp_path: Path) -> None:
    redriven(file, "--out", tmp_path / "first")
    second = redriven(file, "--out", tmp_path / "second")

    assert (second["sent"], second["earlier"]) == (0, 3)
    assert not (tmp_path / "second").exists()
    shown = csq("redrive", file, "--out", tmp_path / "third").stdout
    assert "3 were sent again before, and are left; --again sends them once more" in shown


def test_again_sends_once_more_and_counts(file: Path, tmp_path: Path) -> None:
    redriven(file, "--out", tmp_path / "first")
    second = redriven(file, "--out", tmp_path / "second", "--again")

    assert (second["sent"], second["earlier"]) == (3, 0)
    assert "sent again  2 times" in csq("show", f"{file}:1").stdout
    assert "(sent again 2 times)" in csq("list", file).stdout


def test_a_dry_run_does_nothing_and_leaves_no_trace(file: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    outcome = redriven(file, "--out", tmp_path / "again", "--dry-run")

    assert (outcome["sent"], outcome["dry_run"]) == (3, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert "3 of 7 dead letters" in csq("redrive", file, "--dry-run").stdout
    assert redriven(file, "--out", tmp_path / "again")["sent"] == 3


def test_the_same_letter_twice_is_sent_once(tmp_path: Path) -> None:
    path = write(tmp_path / "letters", [LETTERS[0], LETTERS[0], LETTERS[2]])
    outcome = redriven(path, "--out", tmp_path / "again")
    assert (outcome["sent"], outcome["doubles"]) == (2, 1)


def test_another_event_at_the_same_place_is_another_letter(tmp_path: Path) -> None:
    path = write(tmp_path / "letters", [mended("e1", 1), mended("e5", 1)])  # the topic was recreated
    assert redriven(path, "--out", tmp_path / "again")["sent"] == 2


def test_an_event_over_several_lines_becomes_one_line(tmp_path: Path) -> None:
    value = json.dumps(json.loads(raw(MESSAGE)), indent=1).replace("\n", "\r\n").encode()
    path = write(tmp_path / "letters", [refused(value, 1)])
    redriven(path, "--out", tmp_path / "again")
    [line] = (tmp_path / "again").read_bytes().splitlines()
    assert json.loads(line) == json.loads(value)


def test_files_may_be_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "letters.jsonl.gz", LETTERS)
    redriven(path, "--out", tmp_path / "again.jsonl.gz")
    assert gzip.decompress((tmp_path / "again.jsonl.gz").read_bytes()).splitlines() == GOOD
    assert redriven(path, "--dry-run")["earlier"] == 3


def test_a_replay_accepts_what_was_redriven_to_a_file(file: Path, tmp_path: Path) -> None:
    redriven(file, "--out", tmp_path / "again.jsonl")
    done = CliRunner().invoke(main, ["replay", str(tmp_path / "again.jsonl"), "--out", str(tmp_path / "out"), "--json"])
    summary = json.loads(done.stdout)
    assert (summary["events"], summary["dead_letters"]) == ({MESSAGE: 3}, {})


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (("--reason", "time_in_future"), 3),
        (("--reason", "invalid_field"), 0),
        (("--source", "shop/1"), 3),
        (("--source", "mail/2"), 0),
        (("--since", "2026-01-05T08:00:00Z"), 3),
        (("--since", "2026-01-05T08:00:01Z"), 0),
    ],
)
def test_only_what_is_wanted_is_sent(file: Path, options: tuple[str, ...], sent: int) -> None:
    assert redriven(file, "--dry-run", *options)["sent"] == sent


def test_settings_decide_what_is_accepted(tmp_path: Path) -> None:
    value = raw(MESSAGE, text="x" * 400)
    path = write(tmp_path / "letters", [dead_letter(value, "too_large", "…", "csq.events[0]", 1)])
    assert redriven(path, "--dry-run", CSQ_INTAKE__MAX_BYTES="300")["sent"] == 0
    assert redriven(path, "--dry-run")["sent"] == 1


# ---- to the topic


def test_events_go_back_to_their_own_partition_as_they_were_with_headers_that_say_so(
    broker: EmbeddedBroker, topic: str
) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS, topic))

    outcome = redriven(topic=topic, broker=broker)

    assert outcome["to"] == {f"{topic}.events": 3}
    messages = consume(broker.bootstrap_servers, f"{topic}.events")
    assert sorted(message.value() for message in messages) == sorted(GOOD)
    assert {json.loads(message.value())["id"]: message.partition() for message in messages} == {
        "e1": 2,
        "e3": 2,
        "e4": 0,
    }
    assert {message.key() for message in messages} == {b"c1"}
    for message in messages:
        headers = dict(message.headers())
        assert headers["csq-redriven"] == b"1"
        assert headers["csq-redriven-from"].startswith(topic.encode() + b":")


def test_a_second_run_on_the_topic_sends_nothing_and_again_counts(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS, topic))
    redriven(topic=topic, broker=broker)

    assert redriven(topic=topic, broker=broker)["earlier"] == 3
    assert len(consume(broker.bootstrap_servers, f"{topic}.events")) == 3
    assert redriven("--again", topic=topic, broker=broker)["sent"] == 3
    times = [
        dict(message.headers())["csq-redriven"] for message in consume(broker.bootstrap_servers, f"{topic}.events")
    ]
    assert sorted(times) == [b"1"] * 3 + [b"2"] * 3
    listed = json.loads(csq("list", "--json", topic=topic, broker=broker).stdout)
    assert (listed["letters"], listed["sent_again"]) == (7, 3)
    assert {entry["sent_again"] for entry in listed["newest"]} == {0, 2}


def test_a_letter_that_comes_after_a_run_is_sent_by_the_next(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS[:1], topic))
    redriven(topic=topic, broker=broker)
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS[2:3], topic))
    outcome = redriven(topic=topic, broker=broker)
    assert (outcome["sent"], outcome["earlier"]) == (1, 1)


def test_letters_of_a_file_go_to_the_only_input_topic_by_their_key(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "letters", [mended(f"e{n}", n, origin="events.jsonl") for n in range(5)])
    assert redriven(path, topic=topic, broker=broker)["to"] == {f"{topic}.events": 5}
    assert len({message.partition() for message in consume(broker.bootstrap_servers, f"{topic}.events")}) == 1


def test_another_topic_may_be_named(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS, topic))
    other = next(_names)
    assert redriven("--to", other, topic=topic, broker=broker)["to"] == {other: 3}
    assert len(consume(broker.bootstrap_servers, other)) == 3


def test_letters_of_the_topic_may_go_to_a_file_and_are_then_marked(
    broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS, topic))
    redriven("--out", tmp_path / "again", topic=topic, broker=broker)
    assert sorted((tmp_path / "again").read_bytes().splitlines()) == sorted(GOOD)
    assert redriven(topic=topic, broker=broker)["earlier"] == 3


def test_a_dry_run_on_the_topic_writes_no_record(broker: EmbeddedBroker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, from_topic(LETTERS, topic))
    assert redriven("--dry-run", topic=topic, broker=broker)["sent"] == 3
    assert len(consume(broker.bootstrap_servers, topic)) == 7


@pytest.mark.slow
def test_a_real_broker_takes_letters_back_from_a_time_on(kafka: Kafka, topic: str) -> None:
    for name in (topic, f"{topic}.events"):
        kafka.create_topic(name, partitions=3)
    produce(kafka.address, topic, from_topic(LETTERS, topic), [time.time() - 7_200] * 2)  # the others now
    listed = json.loads(csq("list", "--since", "1h", "--json", topic=topic, broker=kafka).stdout)
    assert listed["reasons"] == {"time_in_future": 2, "too_large": 1, "not_json": 1, "stage_failed": 1}

    assert redriven("--since", "1h", topic=topic, broker=kafka)["sent"] == 2
    second = redriven(topic=topic, broker=kafka)

    assert (second["sent"], second["earlier"]) == (1, 2)
    messages = consume(kafka.address, f"{topic}.events")
    assert sorted(message.value() for message in messages) == sorted(GOOD)
    assert {json.loads(message.value())["id"]: message.partition() for message in messages} == {
        "e1": 2,
        "e3": 2,
        "e4": 0,
    }


# ---- how


class Noted:
    """A target that records events, and fails on request."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.sent: list[bytes] = []
        self._fails_at = fails_at

    def name_of(self, letter: Letter) -> str:
        return "noted"

    def send(self, letter: Letter, event: AnyEvent, times: int, delivered: Callable[[], None]) -> None:
        if len(self.sent) == self._fails_at:
            raise DeadLettersError("Kafka: a record was not delivered")
        self.sent.append(letter.raw)
        delivered()

    def flush(self) -> None:
        """Nothing waits."""


def test_the_rate_bounds_how_many_are_sent_in_a_second(tmp_path: Path) -> None:
    path = write(tmp_path / "letters", [mended(f"e{n}", n) for n in range(21)])
    now = [0.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    limit = RateLimit(10.0, lambda: now[0], sleep)
    Redrive(FileBox([str(path)]), LetterFilter(), STRICT, Noted(), wait=limit.wait).run()

    assert sum(pauses) == pytest.approx(2.0)
    assert max(pauses) == pytest.approx(0.1, rel=1e-4)


def test_progress_covers_all_selected_letters(file: Path) -> None:
    reported: list[tuple[int, int]] = []
    Redrive(FileBox([str(file)]), LetterFilter(), STRICT, None, progress=lambda *now: reported.append(now)).run()
    assert reported == [(n, 7) for n in range(1, 8)]


def test_after_a_failure_only_what_was_delivered_is_marked(file: Path) -> None:
    with pytest.raises(DeadLettersError, match="not delivered"):
        Redrive(FileBox([str(file)]), LetterFilter(), STRICT, Noted(fails_at=2), clock=time.time).run()

    rest = Noted()
    outcome = Redrive(FileBox([str(file)]), LetterFilter(), STRICT, rest).run()

    assert (outcome.earlier, rest.sent) == (2, GOOD[2:])


# ---- errors


def failed(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return result.stderr


def test_without_brokers_a_file_has_to_be_named(file: Path) -> None:
    assert "name no brokers (kafka.brokers) to send to: name settings with -c, or a file with --out" in failed(
        csq("redrive", file)
    )


def test_a_file_that_exists_is_not_written_over(file: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    assert "exists already" in failed(csq("redrive", file, "--out", tmp_path / "kept"))
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert redriven(file, "--dry-run")["earlier"] == 0


def test_a_file_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    assert "cannot be written: No such file or directory" in failed(
        csq("redrive", file, "--out", tmp_path / "no" / "file")
    )


def test_a_topic_and_a_file_at_once_are_refused(file: Path, tmp_path: Path) -> None:
    assert "exclude each other" in failed(csq("redrive", file, "--out", tmp_path / "x", "--to", "t"), 2)


def test_where_a_letter_should_go_has_to_be_known(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    path = write(tmp_path / "letters", [mended("e1", 1, origin="elsewhere[3]")])
    topics = {"CSQ_KAFKA__TOPICS": f"['{topic}.a', '{topic}.b']"}
    message = failed(csq("redrive", path, broker=broker, **topics))
    assert f"{path}:1: read from elsewhere[3], which is not among the topics of the settings" in message
    assert "--to" in message


def test_brokers_that_do_not_take_it_end_the_run_with_the_reason_and_without_a_mark(file: Path) -> None:
    env = {"CSQ_KAFKA__BROKERS": "['127.0.0.1:1']", "CSQ_KAFKA__DELIVERY_SECONDS": "1"}
    assert "was not delivered" in failed(csq("redrive", file, **env))
    assert redriven(file, "--dry-run")["earlier"] == 0


def test_a_damaged_file_of_receipts_is_named_with_its_line(file: Path) -> None:
    Path(f"{file}.redriven").write_bytes(b"nothing\n")
    assert f"{file}.redriven:1: is no receipt" in failed(csq("redrive", file, "--dry-run"))


def test_nothing_to_do_is_said(file: Path) -> None:
    assert "no dead letters in" in csq("redrive", file, "--dry-run", "--source", "nobody").stdout


def test_no_header_of_a_redriven_event_carries_its_text(broker: EmbeddedBroker, topic: str) -> None:
    value = raw(MESSAGE, START, "e1", text="geheim")
    produce(broker.bootstrap_servers, topic, from_topic([refused(value, 1)], topic))
    redriven(topic=topic, broker=broker)
    for message in (*consume(broker.bootstrap_servers, f"{topic}.events"), *consume(broker.bootstrap_servers, topic)):
        assert b"geheim" not in b"".join(value for _, value in message.headers()) + message.key()


def test_a_complaint_goes_by_its_customer(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    path = write(tmp_path / "letters", [refused(raw(COMPLAINT, START), 1, "events.jsonl")])
    redriven(path, topic=topic, broker=broker)
    [message] = consume(broker.bootstrap_servers, f"{topic}.events")
    assert message.key() == b"k1"
