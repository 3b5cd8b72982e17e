"""The command `csq simulate`."""

from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import click
import msgspec

from flows.commands.options import config_option, settings_of
from flows.commands.output import opened, out_option
from operators.simulator import Scenario, Simulator


@click.command()
@click.option("--scenario", type=click.Choice(get_args(Scenario)), help="Scenario in the shop.")
@click.option("--seed", type=click.IntRange(0), help="Seed; the same seed gives the same events.")
@click.option("--events", type=click.IntRange(1), default=100_000, show_default=True, help="Number of events.")
@out_option
@click.option("--books", type=click.Path(dir_okay=False, path_type=Path), help="File for the ground truth.")
@config_option
def simulate(
    *, scenario: str | None, seed: int | None, events: int, out: Path | None, books: Path | None, config: Path | None
) -> None:
    """Write the events of a simulated shop as JSON lines, and with --books the ground truth."""
    settings = settings_of(config)
    chosen = {"scenario": scenario, "seed": seed}
    params = msgspec.structs.replace(
        settings.simulator, **{name: value for name, value in chosen.items() if value is not None}
    )
    simulator = Simulator(params, settings.promises)
    with opened(out) as file, opened(books) if books is not None else nullcontext() as kept:
        for delivery in simulator.take(events):
            file.write(delivery.raw.replace(b"\n", b" ") + b"\n")
        if kept is not None:
            kept.write(msgspec.json.format(msgspec.json.encode(simulator.books), indent=2) + b"\n")
