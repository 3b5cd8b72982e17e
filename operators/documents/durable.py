"""Durable files: what a call has written is there after a power failure, and a failed call leaves the old file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, for its owner only, that takes the place of `path` when the block ends without an error.

    The order makes it durable: write, fsync, rename, fsync of the folder. An error leaves `path` as it was.

    Raises:
        OSError: the file cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    file = open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")  # noqa: PTH123, SIM115 - needs a mode
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace the content of a file, or create it.

    Raises:
        OSError: the file cannot be written; the old one is left.
    """
    with replacing(path) as file:
        file.write(content)


def append(path: Path, content: bytes) -> None:
    """Add `content` to the end of a file, or create it.

    Raises:
        OSError: the file cannot be written; it is as long as before.
    """
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:  # what a buffer held back would be written after the file was cut again
        size = os.fstat(file.fileno()).st_size
        left = memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: files that were created, renamed or removed there.

    Raises:
        OSError: the folder cannot be opened, or the disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
