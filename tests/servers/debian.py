"""Debian's packages, fetched once and unpacked into a folder: nothing is installed, no service starts."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from fcntl import LOCK_EX, flock
from pathlib import Path

from tests.servers.presence import CACHE, UnavailableError

FETCH_SECONDS = 300


def unpack(what: str, home: Path, packages: Callable[[], Sequence[str]], mend: Callable[[Path], None]) -> None:
    """Have `packages` unpacked in `home`, below `CACHE`; `mend` sees to it that they run there, or raises.

    Args:
        what: the programs that are wanted, for messages.
        home: the folder.
        packages: names them; asked anew when the lists of packages were old.
        mend: called with the folder in which they are for the moment.

    Raises:
        UnavailableError: they are not to be had from a Debian repository.
    """
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{home.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # two programs may want it at once
        if not home.is_dir():
            _fetch(what, home, packages, mend)


def _fetch(what: str, home: Path, packages: Callable[[], Sequence[str]], mend: Callable[[Path], None]) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnavailableError(f"{what}: not installed, and this is no Debian to fetch it from; put {what} on the PATH")
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        download = ["apt-get", "download", *packages()]
        done = run(what, download, work)
        if done.returncode:  # the lists of packages are missing or old
            run(what, ["apt-get", "update"], work)
            download = ["apt-get", "download", *packages()]
            done = run(what, download, work)
        if done.returncode:
            raise UnavailableError(f"{what}: `{' '.join(download)}` failed: {done.stderr[-1000:]}")
        for package in Path(work).glob("*.deb"):
            run(what, ["dpkg-deb", "-x", str(package), f"{work}/home"], work).check_returncode()
        mend(Path(work, "home"))
        Path(work, "home").rename(home)


def run(
    what: str, command: Sequence[str], folder: str | Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, whatever its exit code.

    Raises:
        UnavailableError: it does not run here, or takes too long.
    """
    try:
        return subprocess.run(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"{what}: `{' '.join(command)}` was not done after {FETCH_SECONDS} s; run it again"
        ) from None
    except OSError as error:
        raise UnavailableError(f"{what}: `{' '.join(command)}` does not run here: {error}") from None
