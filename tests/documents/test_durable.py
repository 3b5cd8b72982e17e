"""Files that promise durability: in the order that a power failure needs, and an error leaves what was there."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from flows.commands.deadletters.redrive import FileTarget
from operators.connectors.files.letters import DeadLettersError, FileBox, Letter, Receipt
from operators.documents.durable import append, replace_file, replacing
from operators.engine.store import Manifest, read_manifest, write_manifest
from operators.metrics.catalogue import ClosedSets
from operators.metrics.journal import Journal
from operators.metrics.observe import Observer
from tests.builders import START, raw
from tests.letters import MESSAGE, STRICT

MANIFEST = Manifest("0.1.0", 2, "0.26.0", 64, 1, ["csq.intake"], "2026-01-01T00:00:00+00:00")
RECEIPT = Receipt("csq.events[2]@17", "00", 1, "2026-01-01T00:00:00Z", "csq.events", "letters.jsonl:1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is brought to the disk, in order: the names of files and folders, and of renames."""
    made: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        made.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        made.append(f"rename {Path(source).name} {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return made


def fails(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a call of the system fail as on a full disk."""

    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, name, failing)


def replaced(name: str, folder: str) -> list[str]:
    return [f"fsync .{name}.new", f"rename .{name}.new {name}", f"fsync {folder}"]


# ---- the helper


def test_a_file_is_written_and_synced_before_it_is_renamed_and_then_its_folder(
    tmp_path: Path, calls: list[str]
) -> None:
    replace_file(tmp_path / "facts", b"new")
    assert calls == replaced("facts", tmp_path.name)
    assert (tmp_path / "facts").read_bytes() == b"new"
    assert (tmp_path / "facts").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "facts").write_bytes(b"old")
    fails(monkeypatch, call)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "facts", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"facts": b"old"}


def test_an_error_of_the_writer_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "facts").write_bytes(b"old")

    def write() -> None:
        with replacing(tmp_path / "facts") as file:
            file.write(b"new")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"facts": b"old"}


def test_what_is_appended_is_synced_and_a_new_file_with_its_folder(tmp_path: Path, calls: list[str]) -> None:
    append(tmp_path / "facts", b"one\n")
    append(tmp_path / "facts", b"two\n")
    assert calls == ["fsync facts", f"fsync {tmp_path.name}", "fsync facts"]
    assert (tmp_path / "facts").read_bytes() == b"one\ntwo\n"


def test_an_append_that_fails_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path / "facts", b"one\n")
    fails(monkeypatch, "fsync")
    with pytest.raises(OSError, match="No space left"):
        append(tmp_path / "facts", b"two\n")
    assert (tmp_path / "facts").read_bytes() == b"one\n"


# ---- the files that promise it


def write_journal(folder: Path) -> str:
    observer = Observer(CollectorRegistry(), ClosedSets())
    observer.keep(Journal(folder / "exposed-p0", 1))
    with observer.exposing():
        pass
    return "exposed-p0"


def write_csq_json(folder: Path) -> str:
    write_manifest(folder, MANIFEST)
    return "csq.json"


@pytest.mark.parametrize("write", [write_journal, write_csq_json])
def test_the_journal_and_the_manifest_are_durable(
    tmp_path: Path, calls: list[str], write: Callable[[Path], str]
) -> None:
    assert calls == replaced(write(tmp_path), tmp_path.name)


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(tmp_path, MANIFEST)
    fails(monkeypatch, "fsync")
    with pytest.raises(OSError, match="No space left"):
        write_manifest(tmp_path, msgspec.structs.replace(MANIFEST, csq="0.2.0"))
    assert read_manifest(tmp_path) == MANIFEST


def test_receipts_are_durable_and_a_full_disk_leaves_no_half_of_one(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = tmp_path / "letters.jsonl"
    letters.touch()
    receipt = msgspec.structs.replace(RECEIPT, place=f"{letters}:1")
    FileBox([str(letters)]).note([receipt])
    assert calls == ["fsync letters.jsonl.redriven", f"fsync {tmp_path.name}"]
    fails(monkeypatch, "fsync")
    with pytest.raises(DeadLettersError, match=r"letters\.jsonl\.redriven: cannot be written: No space left"):
        FileBox([str(letters)]).note([receipt])
    assert list(FileBox([str(letters)]).read()) == [receipt]


@pytest.mark.parametrize("name", ["again.jsonl", "again.jsonl.gz"])
def test_a_redriven_event_is_on_the_disk_before_its_receipt_can_be_written(
    tmp_path: Path, calls: list[str], name: str
) -> None:
    target, letter = FileTarget(tmp_path / name), Letter("letters.jsonl:1", {}, raw(MESSAGE), None)
    _, event = STRICT.decode_one(letter.raw, START)
    for number in range(2):
        target.send(letter, event, 1, lambda number=number: calls.append(f"sent {number}"))
        target.flush()
    target.close()
    assert calls == [f"fsync {name}", f"fsync {tmp_path.name}", "sent 0", f"fsync {name}", "sent 1"]
