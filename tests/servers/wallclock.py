"""The wall clock of one process, moved from outside: `wallclock.c`, built on first use and preloaded."""

import ctypes
import mmap
import shutil
import subprocess
from pathlib import Path

from tests.servers.presence import UnavailableError

SOURCE = Path(__file__).with_name("wallclock.c")


class WallClock:
    """Moves the wall clock of the processes that run in `environ`.

    Args:
        folder: for the library and the file of the offset.

    Raises:
        UnavailableError: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        library, offset = folder / "wallclock.so", folder / "offset"
        offset.write_bytes(bytes(8))
        with offset.open("r+b") as file:
            self._ahead = ctypes.c_double.from_buffer(mmap.mmap(file.fileno(), 8))
        _build(library)
        self.environ = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(offset)}

    def step(self, seconds: float) -> None:
        """Step the clock."""
        self._ahead.value += seconds


def _build(library: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError(
            "no C compiler (cc, Debian: apt install gcc) to build the library that moves a wall clock"
        )
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl", "-lm", "-lpthread"]
    subprocess.run(command, check=True)  # noqa: S603 - the compiler, as found
