"""Records around one that cannot be read: read apart, found, skipped; and the file that shows where a start died."""

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.kafka import apart
from operators.connectors.kafka.apart import ApartReader, end_of_unreadable, first_unreadable, is_readable
from operators.connectors.kafka.errors import KafkaInputError, UnreadableError
from operators.connectors.kafka.fetching import FetchedOffsets
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.skips import Skip, add_skip, skips_in
from operators.connectors.kafka.source import KafkaSource, consumer_config
from operators.domain.time.route import Chunk
from operators.domain.wire.decode import UnreadRecord
from operators.engine.positions import Position, TopicId, kept_position

SECONDS = 20.0
BOMB = b"0" * (120 << 20)
"""More than librdkafka unpacks of zstd; some KB on the broker."""

_names = (f"apart-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


class Topic:
    """A topic of which one partition is written, batch by batch."""

    def __init__(self, address: str) -> None:
        self.name = next(_names)
        self.params = KafkaParams(brokers=(address,), tick_seconds=0.05, librdkafka={"fetch.wait.max.ms": 10})
        self.config = consumer_config(self.params)
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "message.max.bytes": 1_000_000_000,
                "batch.size": 1_000_000_000,
                "compression.type": "zstd",
                "linger.ms": 500,
            }
        )

    def write(self, *values: bytes) -> None:
        """Write one batch."""
        for value in values:
            self._producer.produce(self.name, value, partition=0)
        assert self._producer.flush(SECONDS) == 0

    def first_unreadable(self, begin: int) -> int | None:
        deadline = time.monotonic() + SECONDS
        return first_unreadable(self.config, self.name, 0, begin, most_bytes=1 << 20, deadline=deadline)

    def read(self, begin: int, until: int | None) -> list[tuple[str, int, bytes | None]]:
        with ApartReader(self.config, self.name, 0, begin, until) as reader:
            return list(reader.until(time.monotonic() + SECONDS))

    def handed_on(self, skips: list[Skip], enough: int) -> list[tuple[int, bytes | None]]:
        """What a source hands on of the partition until it has `enough` records."""
        source = KafkaSource(self.params, [self.name], skips=skips)
        parts = [source.build_part("kafka", name, None) for name in source.list_parts()]
        found: list[tuple[int, bytes | None]] = []
        deadline = time.monotonic() + SECONDS
        try:
            while len(found) < enough and time.monotonic() < deadline:
                for part in parts:
                    found += records(part.next_batch())
            self.position = parts[0].snapshot()
        finally:
            for part in parts:
                part.close()
        return found


def records(chunks: Iterable[Chunk]) -> list[tuple[int, bytes | None]]:
    return [pair for chunk in chunks for pair in zip(chunk.positions, chunk.values, strict=True)]


@pytest.fixture
def topic(broker: EmbeddedBroker) -> Topic:
    made = Topic(broker.bootstrap_servers)
    made.write(b"a", b"b")  # offsets 0 and 1
    made.write(b"c", BOMB, b"d")  # 2 to 4
    made.write(b"e")  # 5
    return made


def test_a_process_answers_the_records_it_was_asked_for(topic: Topic) -> None:
    assert topic.read(0, 2)[:2] == [("record", 0, b"a"), ("record", 1, b"b")]
    assert topic.read(0, 1) == [("record", 0, b"a"), ("end", 1, None)]
    assert topic.read(5, None) == [("record", 5, b"e"), ("end", 6, None)]
    assert topic.read(7, None)[0][0] == "expired"


def test_the_first_record_that_cannot_be_read_is_found_and_the_end_of_its_batch(topic: Topic) -> None:
    assert [topic.first_unreadable(begin) for begin in (0, 2, 4, 5, 6)] == [2, 2, 4, None, None]
    assert [is_readable(topic.config, topic.name, 0, at) for at in (1, 3, 5, 6)] == [True, False, True, True]
    assert end_of_unreadable(topic.config, topic.name, 0, 2, 6) == 5
    assert end_of_unreadable(topic.config, topic.name, 0, 2, 4) == 4


def test_no_answer_is_an_error_and_not_a_record_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "START_SECONDS", 1.0)
    with pytest.raises(KafkaInputError, match=r"nowhere\[0\] cannot be read: no answer in 1 s"):
        is_readable({"bootstrap.servers": "127.0.0.1:1", "group.id": "x"}, "nowhere", 0, 5)


def test_a_record_that_cannot_be_unpacked_ends_reading_with_its_coordinates(topic: Topic) -> None:
    with pytest.raises(UnreadableError, match=rf"{topic.name}\[0\] offset 2 cannot .*csq state skip {topic.name} 0 2,"):
        topic.handed_on([], 4)


def test_a_skipped_batch_is_one_dead_letter_between_the_records_around_it(topic: Topic) -> None:
    before, letter, after = [(0, b"a"), (1, b"b")], (2, f"{topic.name}[0] offsets 2 to 4: skipped"), (5, b"e")
    found = topic.handed_on([Skip(topic.name, 0, 2, 5, "now")], 4)
    assert [*found[:2], found[3]] == [*before, after]
    assert type(found[2][1]) is UnreadRecord
    assert (found[2][0], found[2][1].decode()) == (letter[0], f"{letter[1]} with csq state skip on now")


@pytest.mark.parametrize(("position", "expected"), [(2, [2, 5]), (3, [5]), (5, [5])])
def test_what_was_handed_on_is_not_skipped_again(topic: Topic, position: int, expected: list[int]) -> None:
    assert offsets_from(topic, position, Skip(topic.name, 0, 2, 5, "now"), enough=len(expected)) == expected


def test_a_skip_of_another_cluster_or_of_a_topic_that_was_made_anew_skips_nothing(broker: EmbeddedBroker) -> None:
    topic = Topic(broker.bootstrap_servers)
    topic.write(b"a", b"b", b"c")
    skip = Skip(topic.name, 0, 1, 2, "now", TopicId(cluster="another"))
    assert offsets_from(topic, 0, skip, enough=3) == [0, 1, 2]


def offsets_from(topic: Topic, position: int, skip: Skip, enough: int) -> list[int]:
    """The offsets that a source hands on of the partition, from a stored position on."""
    source = KafkaSource(topic.params, [topic.name], skips=[skip])
    source.list_parts()
    part = source.build_part("kafka", f"{topic.name}[0]", kept_position(Position(position)))
    found: list[int] = []
    deadline = time.monotonic() + SECONDS
    while len(found) < enough and time.monotonic() < deadline:
        found += [offset for offset, _ in records(part.next_batch())]
    part.close()
    return found


def test_skips_are_kept_in_a_file_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert skips_in(None) == skips_in(tmp_path) == ()
    first, second = Skip("a", 0, 1, 2, "t"), Skip("b", 1, 5, 9, "u")
    add_skip(tmp_path, first)
    add_skip(tmp_path, second)
    assert skips_in(tmp_path) == (first, second)
    (tmp_path / "skips.json").write_text("[{}]")
    with pytest.raises(KafkaInputError, match=r"skips\.json: expected the offsets that `csq state skip` writes"):
        skips_in(tmp_path)


class TestFetchedOffsets:
    """The file of one process, over several runs."""

    def run(self, path: Path, *offsets: int, orderly: bool = False, begin: int = -2) -> dict[str, int]:
        """One run that receives up to these offsets of `a`, and nothing of `b`; the suspects that it has found."""
        fetched = FetchedOffsets(path)
        found = fetched.suspects()
        fetched.begin({"a": begin, "b": 7})
        for offset in offsets:
            fetched.note("a", offset)
        if orderly:
            fetched.end()
        return found

    def test_a_partition_without_progress_in_two_runs_that_died_is_a_suspect(self, tmp_path: Path) -> None:
        path = tmp_path / "fetching-p0"
        assert self.run(path, 10) == {}
        assert self.run(path, 20) == {}
        assert self.run(path, 15, 20) == {"b": 7}
        assert self.run(path, 19) == {"a": 20, "b": 7}
        assert self.run(path, 21) == {"a": 20, "b": 7}
        assert self.run(path) == {"b": 7}

    def test_a_run_that_ended_in_good_order_is_no_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "fetching-p0"
        for _ in range(4):
            assert self.run(path, 10, orderly=True) == {}
        self.run(path, 10)
        self.run(path, 10)
        self.run(path, 10, orderly=True)
        assert self.run(path, 10) == {}

    def test_a_run_that_died_before_it_began_to_read_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "fetching-p0"
        self.run(path)
        for _ in range(3):
            assert FetchedOffsets(path).suspects() == {}
        self.run(path)
        assert FetchedOffsets(path).suspects() == {"a": -2, "b": 7}

    @pytest.mark.parametrize("content", [b"", b"{}", b"[1]\nr", b'{"a":[1,2]}\nr1234567', b"\xff" * 50])
    def test_a_file_that_is_damaged_is_no_history(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "fetching-p0"
        path.write_bytes(content)
        assert self.run(path, 5) == {}
        assert self.run(path, 5) == {}
        assert self.run(path) == {"a": 5, "b": 7}

    def test_a_file_that_cannot_be_written_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(KafkaInputError, match=r"missing/fetching-p0: cannot be written: No such file"):
            self.run(tmp_path / "missing" / "fetching-p0")


def test_a_source_notes_what_it_receives_before_it_fetches_more(broker: EmbeddedBroker, tmp_path: Path) -> None:
    topic = Topic(broker.bootstrap_servers)
    topic.write(b"a", b"b", b"c")
    path = tmp_path / "fetching-p0"
    source = KafkaSource(topic.params, [topic.name], fetched=FetchedOffsets(path))
    parts = [source.build_part("kafka", name, None) for name in source.list_parts()]
    seen = 0
    while seen < 3:
        for part in parts:
            seen += len(records(part.next_batch()))
        head, _, body = path.read_bytes().partition(b"\n") if path.exists() else (b"{}", b"", b"")
    assert list(msgspec.json.decode(head)) == [f"{topic.name}[{number}]" for number in range(4)]
    assert body[:9] == b"r" + (3).to_bytes(8, "big")
    source._stop.set()  # the end of a run in good order
    for part in parts:
        part.close()
    assert path.read_bytes()[len(head) + 1 :][:1] == b"e"
