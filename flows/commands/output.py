"""Where a command writes: events to a file or standard output, messages without secrets."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import click

from operators.documents.secret import HidingStream

FULL = {ENOSPC, EDQUOT, EFBIG}
"""Errors of a file that can take no more."""

out_option = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the events; by default standard output."
)


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open a file for writing, or give standard output, which stays open.

    Raises:
        ClickException: the file cannot be written, or its disk is full.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}; what is in it is not whole") from None


def hide_errors() -> None:
    """Let standard error hide secrets: what commands report, warnings, tracebacks of any thread."""
    if not isinstance(sys.stderr, HidingStream):
        sys.stderr = cast("TextIO", HidingStream(sys.stderr))
