"""The wall clock of one process, moved by a test: `wallclock.c`, built on first use and preloaded."""

import ctypes
import mmap
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("wallclock.c")


class WallClock:
    """Moves the wall clock of the processes that run in `environ`.

    Args:
        folder: for the library and the file of the offset.
        ahead: seconds by which the clock is ahead at the start.
    """

    def __init__(self, folder: Path, ahead: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        library, offset = folder / "wallclock.so", folder / "offset"
        offset.write_bytes(bytes(8))
        with offset.open("r+b") as file:
            self._ahead = ctypes.c_double.from_buffer(mmap.mmap(file.fileno(), 8))
        self._ahead.value = ahead
        _build(library)
        self.environ = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(offset)}

    def step(self, seconds: float) -> None:
        """Step the clock."""
        self._ahead.value += seconds


def _build(library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("NOT TESTED: no C compiler (cc) to build the library that moves the wall clock of a process")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl", "-lm", "-lpthread"]
    subprocess.run(command, check=True)  # noqa: S603 - the compiler, as found
