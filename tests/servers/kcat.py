"""kcat, which writes to Kafka from a shell: a producer that is none of ours, as an operator would use it.

The program of the PATH; where it is not installed, Debian's package and the libraries it needs are fetched once into
`presence.CACHE`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.servers.debian import run, unpack
from tests.servers.presence import CACHE, UnavailableError

HOME = CACHE / "kcat"
KEY_END, RECORD_END = b"\x1f", b"\x1e"
"""Separators that no event contains; kcat would take a tab and a line feed."""
SYSTEM = ("libc6", "libgcc-s1")
"""Libraries that every program of the machine has, and must have from there."""
_SWITCHES = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]


def produce(address: str, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
    """Write (key, value) records; returns when all are there.

    Raises:
        UnavailableError: kcat is neither installed nor to be had from a Debian repository.
        AssertionError: kcat failed; the text is what it said.
    """
    told = b"".join(key.encode() + KEY_END + value + RECORD_END for key, value in records)
    ends = [option + end.decode() for option, end in (("-K", KEY_END), ("-D", RECORD_END))]
    command = [_program(), "-P", "-b", address, "-t", topic, *ends]
    done = subprocess.run(command, input=told, env=_environment(HOME), capture_output=True, timeout=120, check=False)  # noqa: S603 - our own command
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _program() -> str:
    found = shutil.which("kcat")
    if found is not None:
        return found
    unpack("kcat", HOME, _packages, _check)
    return str(HOME / "usr/bin/kcat")


def _packages() -> list[str]:
    """Kcat and the libraries it needs, of this release of Debian."""
    told = run("kcat", ["apt-cache", "depends", "--recurse", *_SWITCHES, "kcat"], CACHE).stdout.splitlines()
    names = [line for line in told if line and not line.startswith((" ", "<"))]
    return [name for name in names if name == "kcat" or (name.startswith("lib") and name not in SYSTEM)]


def _check(home: Path) -> None:
    done = subprocess.run([str(home / "usr/bin/kcat"), "-V"], env=_environment(home), capture_output=True, check=False)  # noqa: S603 - as fetched
    if done.returncode:
        raise UnavailableError(f"kcat: Debian's package does not run here: {done.stderr.decode(errors='replace')}")


def _environment(home: Path) -> dict[str, str]:
    """With the libraries that were fetched, where they were."""
    libraries = sorted({str(path.parent) for path in home.glob("usr/lib/**/*.so*")})
    return os.environ | ({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})
