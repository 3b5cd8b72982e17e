"""Compares the manifest of a recovery store with the flow of this start.

Bytewax starts any flow on any store: a renamed step begins without state, and lanes that moved lose their records, both
silently. So a manifest (``csq.json``) is compared before Bytewax opens the store.
"""

import logging
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from bytewax.dataflow import Dataflow, Operator
from msgspec import Struct

from operators.engine.store import Manifest, StoreMisfitError

log = logging.getLogger(__name__)

STATE_VERSION = 5
"""Version of the state of all stages together; it rises when a stage changes its state, or a step its name."""
READABLE_STATES = frozenset({STATE_VERSION})
"""State versions that this release resumes from."""
READABLE_RIVERS = frozenset({"0.26"})
"""Releases of River (major.minor) whose model state this release reads."""


class StoreShape(Struct, frozen=True):
    """The properties of a store that a flow requires.

    >>> StoreShape(lanes=64, partitions=4, steps=["csq.intake"]).steps
    ['csq.intake']
    """

    lanes: int
    """`state.lanes`; fixed once a store is made."""
    partitions: int
    """`state.recovery_partitions`; a store keeps its own number."""
    steps: Sequence[str]
    """Full names of the steps that keep state."""


def check(folder: Path, manifest: Manifest, shape: StoreShape) -> None:
    """Compare what a store was made for with what the flow needs.

    Raises:
        StoreMisfitError: they differ.
    """
    check_readable(f"recovery store {folder}", manifest)
    if manifest.lanes != shape.lanes:
        raise StoreMisfitError(
            f"recovery store {folder}: created with state.lanes {manifest.lanes}, the settings say {shape.lanes}. The "
            f"number of lanes of a store is fixed: set state.lanes to {manifest.lanes}, or name an empty "
            "state.directory and fill it with `csq warm-start`"
        )
    if set(manifest.steps) != set(shape.steps):
        removed, added = sorted(set(manifest.steps) - set(shape.steps)), sorted(set(shape.steps) - set(manifest.steps))
        raise StoreMisfitError(
            f"recovery store {folder}: created for other steps. Only in the store: {_listed(removed)}; only in this "
            f"flow: {_listed(added)}. A renamed step begins without its state: start csq {manifest.csq}, or name an "
            "empty state.directory"
        )
    if manifest.river != version("river"):
        log.info(
            "models of River %s continue with River %s: the same numbers",
            manifest.river,
            version("river"),
            extra={"event": "store_river"},
        )
    if manifest.partitions != shape.partitions:
        log.warning(
            "state.recovery_partitions is %d, the store in %s has %d and keeps them",
            shape.partitions,
            folder,
            manifest.partitions,
            extra={"event": "store_partitions"},
        )


def check_readable(where: str, manifest: Manifest) -> None:
    """Check that this release reads a store or an export; `where` names it.

    Raises:
        StoreMisfitError: its state version or its River release is not supported.
    """
    if manifest.state not in READABLE_STATES:
        newer = "newer" if manifest.state > STATE_VERSION else "older"
        raise StoreMisfitError(
            f"{where}: written by csq {manifest.csq} with state version {manifest.state}, this is csq "
            f"{version('csq')}, which reads {_listed(map(str, READABLE_STATES))}. The store is {newer}: start csq "
            f"{manifest.csq}, or name an empty state.directory (docs/state.md, Upgrade)"
        )
    if _minor(manifest.river) not in READABLE_RIVERS:
        raise StoreMisfitError(
            f"{where}: its models hold numbers of River {manifest.river}, this release reads those of "
            f"River {_listed(READABLE_RIVERS)}. Start csq {manifest.csq}, or name an empty state.directory and fill it "
            "with `csq warm-start`"
        )


def stateful_steps(flow: Dataflow) -> list[str]:
    """Full names of the steps of a flow that keep state. They are public: they name the state in a store.

    >>> import bytewax.operators as op
    >>> from bytewax.testing import TestingSource
    >>> flow = Dataflow("shop")
    >>> _ = op.stateful_batch("count", op.input("in", flow, TestingSource([("k", 1)])), lambda _: None)
    >>> stateful_steps(flow)
    ['shop.count']
    """
    return [step.step_id for step in _each(flow.substeps) if type(step).__name__ == "stateful_batch"]


def _each(steps: Sequence[Operator]) -> Iterator[Operator]:
    for step in steps:
        yield step
        yield from _each(step.substeps)


def _minor(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _listed(names: object) -> str:
    found = sorted(names)  # type: ignore[call-overload]  # any iterable of text
    return ", ".join(found) or "nothing"
