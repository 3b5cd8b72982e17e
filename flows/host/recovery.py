"""The recovery store that the settings name, and what Bytewax's own runner was started with."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig

from flows.host.cluster.place import ALONE, ProcessPlace
from flows.settings.model import Settings, State
from operators.engine.fit import StoreShape, stateful_steps
from operators.engine.recovery import prepare
from operators.engine.store import StoreError, is_store_error, store_error


def shape_of(state: State, steps: Sequence[str]) -> StoreShape:
    """The recovery store of the settings."""
    return StoreShape(state.lanes, state.recovery_partitions, steps)


def recovery_of(settings: Settings, flow: Dataflow, place: ProcessPlace = ALONE) -> RecoveryConfig | None:
    """The recovery store of the settings for `flow`, made at the first start; `None` without `state.directory`.

    Raises:
        StoreError: the store cannot be made or read, is in use, or was made for something else.
    """
    state = settings.state
    if state.directory is None:
        return None
    folder, keeps = Path(state.directory), state.shared or place.process == 0
    prepare(folder, shape_of(state, stateful_steps(flow)), place.name, keeps=keeps)
    return RecoveryConfig(str(folder), timedelta(seconds=state.backup_seconds))


@contextmanager
def store_errors(settings: Settings) -> Iterator[None]:
    """Raise Bytewax's errors of the recovery store as `StoreError`, while a flow runs."""
    try:
        yield
    except BaseException as error:  # a panic of Bytewax is not an Exception
        if settings.state.directory is not None and is_store_error(error):
            raise store_error(error, Path(settings.state.directory)) from error
        raise


def check_runner(settings: Settings, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Compare the recovery directory of ``python -m bytewax.run`` with the settings.

    Raises:
        StoreError: they differ: the steps would store into one directory, and Bytewax resume from another.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--recovery-directory", default=environ.get("BYTEWAX_RECOVERY_DIRECTORY"))
    asked: str | None = parser.parse_known_args(list(arguments))[0].recovery_directory
    ours = settings.state.directory
    if (asked and Path(asked).resolve()) != (ours and Path(ours).resolve()):
        raise StoreError(
            f"python -m bytewax.run stores in {asked or 'no directory'}, state.directory is {ours or 'null'}: they "
            f"must be the same. Start it with -r {ours or 'DIRECTORY'} -s {settings.state.snapshot_seconds:.0f} -b 0, "
            "and with CSQ_STATE__DIRECTORY or state.directory naming the same directory, or with neither"
        )


def runner_seconds(arguments: Sequence[str], environ: Mapping[str, str]) -> float:
    """Seconds between snapshots under ``python -m bytewax.run``, which takes its own arguments instead of the settings.

    >>> runner_seconds(["flows.live", "-s", "5"], {}), runner_seconds(["flows.live"], {})
    (5.0, 10.0)
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-s", "--snapshot-interval", default=environ.get("BYTEWAX_SNAPSHOT_INTERVAL", "10"))
    return float(parser.parse_known_args(list(arguments))[0].snapshot_interval)
