"""Files of lines are read to the byte, in bounded memory, and what is written can be read again."""

import base64
import codecs
import gzip
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.connectors.files import jsonl
from operators.connectors.files.jsonl import JsonlSink, JsonlSource, dead_letter_line, open_input, read_lines
from operators.domain.time.route import END, Chunk
from operators.domain.wire.outgoing import DEADLETTERS, STREAMS, Outgoing, dead_letter

BYTES = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\x00", b"\xe9", b"\xe2\x80\xa8"]), max_size=60)


def lines_of(data: bytes) -> list[bytes]:
    """What the lines of a text are, by the book: LF ends them, a CR before it belongs to the end."""
    lines = data.split(b"\n")
    ended, rest = lines[:-1], lines[-1]
    return [line.removesuffix(b"\r") for line in ended] + ([rest] if rest else [])


def chunks(source: JsonlSource, resume: int | None = None) -> list[tuple[Chunk, int]]:
    """All chunks of a source, each with the state after it."""
    part = source.build_part("in", "files", resume)
    found = []
    while True:
        try:
            some = part.next_batch()
        except StopIteration:
            return found
        found += [(chunk, part.snapshot()) for chunk in some]


def source(*paths: Path, batch_size: int = 3, ready: bool = True, reported: list[int] | None = None) -> JsonlSource:
    progress = (lambda _: None) if reported is None else reported.append
    return JsonlSource([str(path) for path in paths], batch_size=batch_size, ready=lambda: ready, progress=progress)


# Lines.


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    marked = codecs.BOM_UTF8 + b"a\n" + codecs.BOM_UTF8 + b"b"
    assert list(read_lines(io.BytesIO(marked))) == [b"a", codecs.BOM_UTF8 + b"b"]


@given(parts=BYTES, block=st.integers(1, 9))
@example(parts=[b"a", b"\r\n"], block=2)
def test_lines_are_the_same_for_any_size_of_the_blocks(parts: list[bytes], block: int):
    data = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "BLOCK", block)
        assert lines_of(data) == list(read_lines(io.BytesIO(data)))


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"").replace(b"\x0b", b"").replace(b"\x0c", b"")))
def test_without_carriage_returns_lines_are_those_of_splitlines(data: bytes):
    assert data.splitlines() == list(read_lines(io.BytesIO(data)))


@given(lengths=st.lists(st.integers(0, 40), max_size=8), block=st.integers(1, 20), longest=st.integers(1, 12))
def test_a_long_line_is_cut_and_the_next_one_is_whole(lengths: list[int], block: int, longest: int):
    lines = [bytes([97 + number]) * length for number, length in enumerate(lengths)]
    data = b"".join(line + b"\n" for line in lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "BLOCK", block)
        patch.setattr(jsonl, "LONGEST", longest)
        assert [line[: longest + 1] for line in lines] == list(read_lines(io.BytesIO(data)))


def test_a_line_that_never_ends_takes_no_more_memory_than_its_head():
    class Endless(io.RawIOBase):
        left = 64

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return b"x" * size if self.left >= 0 else b""

    assert [len(line) for line in read_lines(Endless())] == [jsonl.LONGEST + 1]


def test_a_line_that_is_too_long_is_still_longer_than_any_event_may_be():
    assert jsonl.LONGEST > 65_536


# Files.


def test_plain_and_gzip_read_the_same(tmp_path: Path):
    data = b'{"a": 1}\n\n{"b": 2}'
    (tmp_path / "plain").write_bytes(data)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(data))
    for name in ("plain", "packed.gz"):
        with open_input(str(tmp_path / name)) as file:
            assert list(read_lines(file)) == [b'{"a": 1}', b"", b'{"b": 2}']


def test_chunks_have_line_numbers_skip_blank_lines_and_say_where_the_end_is(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\n\ntwo\nthree\n\nfour\n")
    reported: list[int] = []
    assert [chunk for chunk, _ in chunks(source(path, reported=reported))] == [
        Chunk(str(path), None, [1, 3, 4], [b"one", b"two", b"three"]),
        Chunk(str(path), END, [6], [b"four"]),
    ]
    assert reported == [4, 6]


def test_an_empty_file_has_an_end_too(tmp_path: Path):
    (tmp_path / "empty").touch()
    assert [chunk for chunk, _ in chunks(source(tmp_path / "empty"))] == [Chunk(str(tmp_path / "empty"), END, [], [])]


def test_nothing_is_opened_or_read_before_the_models_are_there(tmp_path: Path):
    part = source(tmp_path / "missing", ready=False).build_part("in", "files", None)
    assert part.next_batch() == []
    assert part.snapshot() == 0


@given(
    files=st.lists(st.lists(st.sampled_from([b"", b"x", b"yy"]), max_size=9), min_size=1, max_size=3),
    size=st.integers(1, 4),
)
def test_a_resume_goes_on_exactly_behind_the_chunk_of_the_snapshot(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], size: int
):
    folder = tmp_path_factory.mktemp("resume")
    paths = []
    for number, lines in enumerate(files):
        paths.append(folder / str(number))
        paths[-1].write_bytes(b"".join(line + b"\n" for line in lines))
    read = source(*paths, batch_size=size)
    whole = chunks(read)
    everything = [(chunk.origin, place) for chunk, _ in whole for place in chunk.positions]
    assert everything == [
        (str(path), place) for path, lines in zip(paths, files, strict=True) for place, x in enumerate(lines, 1) if x
    ]
    for place, (_, state) in enumerate(whole):
        before = [(chunk.origin, n) for chunk, _ in whole[: place + 1] for n in chunk.positions]
        after = [(chunk.origin, n) for chunk, _ in chunks(read, state) for n in chunk.positions]
        assert before + after == everything


# Dead letters and the other streams.


@given(raw=st.one_of(st.binary(max_size=80), st.text(max_size=40).map(str.encode)), detail=st.text(max_size=20))
def test_a_dead_letter_can_be_read_back_to_the_byte(raw: bytes, detail: str):
    record = dead_letter(raw, "not_json", detail, "events[3]", 12)
    line = dead_letter_line(record)
    reported = msgspec.json.decode(line)
    back = reported["raw"].encode() if "raw" in reported else base64.b64decode(reported["raw_base64"])
    assert back == raw
    assert reported | {"reason": "not_json", "detail": detail, "origin": "events[3]", "position": "12"} == reported
    assert b"\n" not in line


def test_each_stream_has_a_file_and_records_keep_their_order(tmp_path: Path):
    sink = JsonlSink(tmp_path / "new" / "folder", STREAMS)
    files = sink.build("out", 0, 1)
    files.write_batch([Outgoing("csq.turn.scored", "c1", b'{"n":1}'), Outgoing("csq.reply.measured", "c1", b'{"n":2}')])
    files.write_batch([Outgoing("csq.turn.scored", "c2", b'{"n":3}'), dead_letter(b"\xff", "not_json", "x", "o", 1)])
    files.close()
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert written.keys() == {f"{stream}.jsonl" for stream in STREAMS}
    assert written["csq.turn.scored.jsonl"] == b'{"n":1}\n{"n":3}\n'
    assert written["csq.churn.scored.jsonl"] == b""
    assert msgspec.json.decode(written[f"{DEADLETTERS}.jsonl"])["raw_base64"] == "/w=="
