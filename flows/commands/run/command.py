"""The command `csq run`: one live process, or the supervisor of several."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from bytewax.errors import BytewaxRuntimeError

from flows.commands.errors import USER_ERRORS, fail
from flows.commands.options import config_option, settings_of, web_config_option
from flows.commands.run.view import LiveView
from flows.host import logs
from flows.host.cluster.parent import end_with_parent
from flows.host.cluster.peers import PeersError
from flows.host.cluster.place import ALONE, ClusterError, PeerLostError, check, place_of
from flows.host.cluster.same_store import SameStore
from flows.host.cluster.supervise import STOP_GRACE_SECONDS, Supervisor
from flows.host.heartbeat import supervisor, to_supervisor
from flows.host.web.server import WebError
from flows.live import Live
from flows.settings.model import Settings
from operators.documents.load import DocumentError


@click.command()
@web_config_option
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes to start on this machine.",
)
@click.option("--process-id", type=click.IntRange(0), help="Number of this process among --addresses, from 0.")
@click.option("--addresses", help="host:port,host:port of all processes of a cluster, the same in each of them.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input does.")
@config_option
def run(
    *, processes: int, process_id: int | None, addresses: str | None, supervised: bool, config: Path | None
) -> None:
    """Run live: Kafka if the settings name brokers, else an embedded broker and a simulated shop.

    With --processes, or on several machines with --process-id and --addresses, each process holds a share of the
    conversations and customers and serves its own metrics, at http.port and the ports after it.
    """
    settings = settings_of(config)
    if (process_id is None) != (addresses is None) or (process_id is not None and processes > 1):
        raise click.UsageError("--process-id and --addresses need each other, and exclude --processes")
    if processes > 1:
        _supervise(settings, processes, config)
    try:
        place = ALONE if process_id is None or addresses is None else place_of(process_id, addresses)
    except ClusterError as error:
        raise click.UsageError(str(error)) from None
    terminal = sys.stdout.isatty() and place is ALONE
    logs.start("warning" if terminal else settings.log.level, process=None if place is ALONE else place.name)
    if supervised:
        end_with_parent()
    try:
        live = Live(settings, place, reports=[to_supervisor(supervisor())] if supervised else [])
        live.watch_calendars(config, settings)
        _run(live, terminal=terminal)
        if live.restarts:
            _start_again()
    except (WebError, PeersError) as error:
        raise click.ClickException(str(error)) from None
    except (DocumentError, ClusterError) as error:
        raise click.UsageError(str(error)) from None
    except (BytewaxRuntimeError, PeerLostError, *USER_ERRORS) as error:
        fail(error)


def _run(live: Live, *, terminal: bool) -> None:
    """Run until the end, with the live view on a terminal."""
    if not terminal:
        live.run()
        return
    urls = {name: f"{live.web.url}/{name}" for name in ("metrics", "healthz", "readyz")}
    view = LiveView(live.registry, urls, seen=lambda: live.here.labels.seen, clock=live.clock.now)
    try:
        live.run(view.start)
    finally:
        view.stop()


def _start_again() -> NoReturn:
    """Replace this process by the same command: what was read is stored, and the new partitions are read too."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command, no shell


def _supervise(settings: Settings, processes: int, config: Path | None) -> NoReturn:
    """Start the processes of this machine and supervise them until they end."""
    try:
        check(settings, processes)
    except ClusterError as error:
        raise click.UsageError(str(error)) from None
    logs.start(settings.log.level)
    named = [] if config is None else ["-c", str(config)]

    def command(number: int, addresses: Sequence[str]) -> list[str]:
        place = ["--process-id", str(number), "--addresses", ",".join(addresses)]
        return [sys.executable, "-m", "flows.commands.main", "run", "--supervised", *place, *named]

    folder = settings.state.directory
    store = SameStore(None if folder is None else Path(folder))
    # A stop waits for deliveries, and those may take this long.
    stop_seconds = settings.kafka.delivery_seconds + STOP_GRACE_SECONDS
    sys.exit(Supervisor(processes, command, stop_seconds, store).run())
