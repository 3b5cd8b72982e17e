"""kcat, which writes to Kafka from a shell: an independent producer, as an operator would use it.

The program of the PATH; where it is not installed, Debian's package and the libraries it needs are fetched once into
`presence.CACHE`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
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
        UnavailableError: as `program`.
        AssertionError: kcat failed; the text is its output.
    """
    reported = b"".join(key.encode() + KEY_END + value + RECORD_END for key, value in records)
    ends = [option + end.decode() for option, end in (("-K", KEY_END), ("-D", RECORD_END))]
    path, environment = program()
    command = [path, "-P", "-b", address, "-t", topic, *ends]
    done = subprocess.run(command, input=reported, env=environment, capture_output=True, timeout=120, check=False)  # noqa: S603 - our own command
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def program() -> tuple[str, Mapping[str, str]]:
    """The path of kcat and the environment in which it finds its libraries; fetched if need be.

    Raises:
        UnavailableError: it is neither installed nor to be had from a Debian repository.
    """
    found = shutil.which("kcat")
    if found is not None:
        return found, os.environ
    unpack("kcat", HOME, _packages, _check)
    return _program_in(HOME)


def _packages() -> list[str]:
    """Kcat and the libraries it needs, of this release of Debian, as far as its lists are here."""
    reported = run("kcat", ["apt-cache", "depends", "--recurse", *_SWITCHES, "kcat"], CACHE).stdout.splitlines()
    return ["kcat", *(line for line in reported if line.startswith("lib") and line not in SYSTEM)]


def _check(home: Path) -> None:
    path, environment = _program_in(home)
    done = run("kcat", [path, "-V"], home, environment)
    if done.returncode:
        raise UnavailableError(f"kcat: Debian's package does not run here: {done.stderr[-1000:]}")


def _program_in(home: Path) -> tuple[str, Mapping[str, str]]:
    libraries = sorted({str(path.parent) for path in home.glob("usr/lib/**/*.so*")})
    return str(home / "usr/bin/kcat"), os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
