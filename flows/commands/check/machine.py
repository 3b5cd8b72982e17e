"""What `csq check` looks at on this machine: web configuration, port, state directory, clock."""

import _ssl
import ctypes
import os
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from flows.commands.check.finding import Finding
from flows.commands.state.labels import stored_labels
from flows.host.recovery import shape_of
from flows.host.web.config import WebConfigFile
from flows.host.web.probe import ask
from flows.host.web.server import WebError, bind
from flows.settings.closed_sets import labels_of
from flows.settings.model import Http, Settings
from operators.documents.load import DocumentError
from operators.domain.stage.seal import StateDamagedError
from operators.engine.fit import check as check_fits
from operators.engine.locks import users_of
from operators.engine.store import Manifest, StoreError, partitions, read_manifest
from operators.metrics.other_names import lines, near_misses, shares

EXPIRY_DAYS: Final = 14
"""A warning is given for a certificate that expires sooner."""
LOW_BYTES: Final = 1 << 30
"""A warning is given if less space is free: a store of a million customers and its backup need as much."""
FULL_BYTES: Final = 50 << 20
"""Free space below which no store can be made."""
TIME_ERROR: Final = 5
"""What adjtimex(2) returns while nothing disciplines the clock."""
CLOCK_SLACK_SECONDS: Final = 1.0
"""Difference to a file system's clock that its own granularity does not explain."""


def check_web(http: Http) -> Iterator[Finding]:
    """The web configuration, and the certificate in it."""
    if http.web_config_file is None:
        if is_loopback(http.host):
            yield Finding.ok("web", "no http.web_config_file; reachable from this machine only")
        else:
            yield Finding.warn(
                "web",
                f"no http.web_config_file, and http.host is {http.host}: every client that reaches the port may read.",
                "Set http.web_config_file (docs/operations.md), or restrict the port with a network policy.",
            )
        return
    path = Path(http.web_config_file)
    try:
        loaded = WebConfigFile(path).current()
    except DocumentError as error:
        for line in str(error).splitlines():
            yield Finding.fail("web", f"{line}.", "Correct it (docs/operations.md).")
        return
    has = [f"{len(loaded.users)} users" if loaded.users else "no passwords"]
    has.append("plain HTTP" if loaded.tls is None else _clients(loaded.tls))
    if loaded.tls is None and loaded.users and not is_loopback(http.host):
        yield Finding.warn("web", f"{path}: passwords are sent in clear without TLS.", "Set tls_server_config.")
    else:
        yield Finding.ok("web", f"{path}: {', '.join(has)}")
    if loaded.certificate is not None:
        yield _expiry(loaded.certificate)


def _clients(context: ssl.SSLContext) -> str:
    return "TLS, clients without a certificate refused" if context.verify_mode is ssl.CERT_REQUIRED else "TLS"


def _expiry(path: Path) -> Finding:
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(_not_after(path)), UTC)
    days = (ends - datetime.now(UTC)).total_seconds() / 86_400
    says = f"the certificate in {path} {'has ended' if days < 0 else 'ends'} on {ends:%Y-%m-%d}."
    if days < 0:
        return Finding.fail("web", says, "Renew it; a running csq reads the new one without a restart.")
    if days < EXPIRY_DAYS:
        return Finding.warn("web", says, "Renew it; a running csq reads the new one without a restart.")
    return Finding.ok("web", says)


def _not_after(path: Path) -> str:
    """The end of the first certificate of a PEM file; it was loaded before, so it can be read."""
    return str(_ssl._test_decode_cert(str(path))["notAfter"])  # type: ignore[attr-defined] # noqa: SLF001 - no other reader of certificates is in the standard library


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("csq.example.org")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_port(http: Http) -> Finding:
    """Whether the port is free, or csq itself has it."""
    try:
        bind(http.host, http.port).close()
    except WebError as error:
        if _csq_answers(http):
            return Finding.warn(
                "port",
                f"csq answers at {http.host}:{http.port} already.",
                "Set another http.port for a second process.",
            )
        return Finding.fail("port", str(error), "")
    return Finding.ok("port", f"{http.host}:{http.port} is free" if http.port else f"{http.host}: any free port")


def _csq_answers(http: Http) -> bool:
    """Whether csq answers at this address: its page has these words."""
    answer = ask(http.host, http.port, "/readyz")
    return answer is not None and answer[1].startswith(("ready\n", "not ready"))


def check_state(settings: Settings) -> Iterator[Finding]:
    """Whether a recovery store is there and fits, or could be made."""
    name = settings.state.directory
    if name is None:
        yield Finding.warn(
            "state",
            "state.directory is not set: a restart begins without state.",
            "Set it to a directory that survives a restart.",
        )
        return
    folder = Path(name)
    if (trouble := _write_trouble(folder)) is not None:
        yield Finding.fail(
            "state",
            f"{folder}: cannot be written: {trouble}.",
            "Set state.directory to a directory that this user may create or write, with free space (docs/state.md).",
        )
        return
    free = shutil.disk_usage(_existing(folder)).free
    room = f"{free / (1 << 30):.1f} GiB free"
    if free < FULL_BYTES:
        yield Finding.fail(
            "state", f"{folder}: {room}.", "Free disk space: csq stops when the store cannot be written."
        )
    elif free < LOW_BYTES:
        yield Finding.warn("state", f"{folder}: {room}.", "Free disk space: a large store and its backups need more.")
    else:
        yield Finding.ok("state", f"{folder}: writable, {room}")
    yield from _store(folder, settings)


def _store(folder: Path, settings: Settings) -> Iterator[Finding]:
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            if partitions(folder):
                yield Finding.fail(
                    "state",
                    f"{folder}: partitions without csq.json.",
                    "Put csq.json back from a backup (docs/state.md).",
                )
            else:
                yield Finding.ok("state", f"{folder}: no store yet; the first start creates it")
            return
        check_fits(folder, manifest, shape_of(settings.state, manifest.steps))
    except StoreError as error:
        yield Finding.fail("state", str(error), "")
        return
    yield Finding.ok("state", f"{folder}: {_described(folder, manifest)}")
    yield from check_labels(folder, settings)


def check_labels(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Names that the store has measured as `other`, and names of the settings that no event had."""
    try:
        found = stored_labels(folder)
    except (StoreError, StateDamagedError) as error:
        yield Finding.fail("labels", str(error), "")
        return
    for label, values in labels_of(settings).of.items():
        met = {**found.seen.get(label, {}), **dict.fromkeys(found.admitted.get(label, {}), 0)}
        for name, near in near_misses(values, met):
            yield Finding.warn(
                "labels", f"{label} {name!r} of the settings: events have {near!r}.", "Use the spelling of the events."
            )
    for line in lines(found.seen, shares(found.replies)):
        says, _, todo = line.rpartition("; ")
        yield Finding.warn("labels", f"{says}.", f"{todo[:1].upper()}{todo[1:]}.")


def _described(folder: Path, manifest: Manifest) -> str:
    users = users_of(folder)
    used = f", in use by {', '.join(users)}" if users else ""
    return f"a store of csq {manifest.csq} with {manifest.lanes} lanes, made {manifest.made_at}{used}"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _write_trouble(folder: Path) -> str | None:
    """Why nothing can be written there; the folder itself is not made."""
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"csq")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{error.strerror} ({place})"
    return None


def check_clock(settings: Settings) -> Finding:
    """Whether something disciplines this machine's clock, and whether the state directory's file system agrees with it.

    Events of the future are refused and open waits are measured by this clock.
    """
    if (off := _file_system_ahead(settings.state.directory)) is not None and abs(off) > CLOCK_SLACK_SECONDS:
        return Finding.warn(
            "clock", f"the file system of state.directory is {off:+.1f} s off this machine.", "Synchronise both (NTP)."
        )
    match _is_disciplined():
        case None:
            return Finding.ok("clock", f"{_now()}; this system does not report whether it is synchronised")
        case False:
            return Finding.warn(
                "clock",
                f"{_now()}; it is not synchronised according to the kernel.",
                "Run chrony or systemd-timesyncd.",
            )
        case _:
            return Finding.ok("clock", f"{_now()}, synchronised")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_disciplined() -> bool | None:
    """Whether the kernel clock is synchronised (adjtimex, read only); `None` if the system has no such call."""
    if not sys.platform.startswith("linux"):
        return None
    asked = ctypes.create_string_buffer(512)  # struct timex of zeros: modes 0 changes nothing
    state: int = ctypes.CDLL(None).adjtimex(asked)
    return None if state < 0 else state != TIME_ERROR


def _file_system_ahead(directory: str | None) -> float | None:
    """Seconds that a file system's own clock, such as that of a file server, is ahead of ours."""
    if directory is None:
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(Path(directory))) as file:
            before = time.time()
            file.write(b"csq")
            file.flush()
            os.fsync(file.fileno())
            written, after = os.stat(file.name).st_mtime, time.time()  # noqa: PTH116 - a name, not a path
    except OSError:
        return None
    return min(written - before, 0.0) if written < before else max(written - after, 0.0)
