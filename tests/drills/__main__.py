"""``make drill``: injects faults and checks that the right alert notifies the right receiver, once, and resolves.

Real servers: csq with the simulator's shop, Prometheus with the committed rules, Alertmanager with the committed
routes, Apache Kafka for `broker down` (the others read from the embedded broker). `watch.py` and `shop.py` define what
is shortened. ``--only NAME`` runs one drill.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench.arguments import whole
from tests.drills.cases import DRILLS, LANES, Drill
from tests.drills.ground import STOPPED, Ground
from tests.drills.run import Row, held_drill
from tests.drills.table import table
from tests.servers.kafka import libraries
from tests.servers.presence import UnavailableError
from tests.servers.prometheus import PROGRAMS, program

SIDE_BY_SIDE = 2
"""Lanes: each takes more than half a processor."""
NAMES = [drill.name for drill in DRILLS]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description="Hold the drills.")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--lanes", type=whole(), default=SIDE_BY_SIDE, help="how many are held side by side; default 2")
    parser.add_argument("--keep", type=Path, help="folder for the logs of all servers; default none is kept")
    return parser.parse_args(arguments)


def hold(drills: Sequence[Drill], folder: Path) -> list[Row]:
    """Run the drills of a lane, one after the other, with one csq and one shop."""
    kafka = any(drill.real_kafka for drill in drills)
    try:
        with Ground(folder, drills[0].by, drills[0].shop_params, real_kafka=kafka) as ground:
            return [held_drill(drill, ground, folder / drill.name.replace(" ", "-")) for drill in drills]
    except (AssertionError, RuntimeError) as error:
        return [Row(drill, failed=f"the drill could not begin: {error}") for drill in drills]


def hold_all(names: Sequence[str], folder: Path, lanes: int) -> list[Row]:
    """Run the named drills, lanes side by side."""
    known = {drill.name: drill for drill in DRILLS}
    chosen = [[known[name] for name in lane if name in names] for lane in LANES]
    with ThreadPoolExecutor(lanes) as pool:
        futures = [pool.submit(hold, drills, folder / str(number)) for number, drills in enumerate(chosen) if drills]
        rows = [row for future in futures for row in future.result()]
    return sorted(rows, key=lambda row: NAMES.index(row.drill.name))


def _again(row: Row, folder: Path) -> Row:
    """Repeat a drill that failed on a busy machine once, alone."""
    if not row.failed or not row.was_held_back or STOPPED.is_set():
        return row
    click.echo(f"{row.drill.name}: held once more, the machine was too busy: {row.failed}", err=True)
    return hold([row.drill], folder / f"again-{row.drill.name.replace(' ', '-')}")[0]


def prepare(names: Sequence[str]) -> None:
    """Fetch what is needed, if need be.

    Raises:
        UnavailableError: a server cannot be had here.
    """
    for name in PROGRAMS:
        program(name)
    if any(drill.real_kafka for drill in DRILLS if drill.name in names):
        libraries()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drills and print the results; return the exit code."""
    chosen = options(arguments)
    names = chosen.only or NAMES
    try:
        prepare(names)
    except UnavailableError as error:
        click.echo(f"drill: {error}", err=True)
        return 1
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="csq-drill-") as temporary:
        folder = chosen.keep or Path(temporary)
        rows = hold_all(names, folder, max(1, chosen.lanes))
        rows = [_again(row, folder) for row in rows]
    click.echo(table(rows))
    click.echo(f"in {time.monotonic() - begun:.0f} s")
    passed = sum(not row.failed for row in rows)
    click.echo(f"drills {len(rows)}, passed {passed}")
    return 0 if passed == len(rows) else 1


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: STOPPED.set())
    raise SystemExit(main())
