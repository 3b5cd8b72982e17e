"""Debian's packages, fetched once and unpacked into a folder: nothing is installed, no service starts."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from fcntl import LOCK_EX, flock
from pathlib import Path

from tests.servers.presence import CACHE, UnavailableError

FETCH_SECONDS = 300


def unpack(what: str, home: Path, packages: Callable[[], Sequence[str]], mend: Callable[[Path], None]) -> None:
    """Have `packages` unpacked in `home`, below `CACHE`; `mend` sees to it that they run there, or raises.

    Raises:
        UnavailableError: they are not to be had from a Debian repository.
    """
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{home.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # two programs may want it at once
        if home.is_dir():
            return
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise UnavailableError(f"{what}: not on the PATH, and this is no Debian to fetch it from")
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            if not _download(what, packages, work):  # the lists of packages are missing or old
                run(what, ["apt-get", "update"], work)
                if not _download(what, packages, work):
                    raise UnavailableError(f"{what}: `apt-get download {' '.join(packages())}` failed; run it by hand")
            for package in Path(work).glob("*.deb"):
                run(what, ["dpkg-deb", "-x", str(package), f"{work}/home"], work).check_returncode()
            mend(Path(work, "home"))
            Path(work, "home").rename(home)


def _download(what: str, packages: Callable[[], Sequence[str]], work: str) -> bool:
    names = packages()
    return bool(names) and run(what, ["apt-get", "download", *names], work).returncode == 0


def run(what: str, command: Sequence[str], folder: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, whatever its exit code.

    Raises:
        UnavailableError: it does not run here, or takes too long.
    """
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)  # noqa: S603 - our own command
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            f"{what}: `{' '.join(command)}` was not done after {FETCH_SECONDS} s; run it again"
        ) from None
    except OSError as error:
        raise UnavailableError(f"{what}: `{' '.join(command)}` does not run here: {error}") from None
