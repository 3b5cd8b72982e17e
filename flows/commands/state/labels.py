"""The label names in a recovery store: read for `csq state labels` and `csq check`, and dropped."""

from pathlib import Path
from typing import Any, NamedTuple

from operators.domain.stage.admission import KEY
from operators.domain.stage.seal import seal, unseal
from operators.engine.store import Snap, StoreError, rewrite, snaps_of

REPLIES = "csq_reply_seconds"


class StoredLabels(NamedTuple):
    """The names in a store: admitted, and measured as `other`."""

    admitted: dict[str, dict[str, float]]
    """Label -> name -> since when it has series of its own (event time, POSIX seconds)."""
    seen: dict[str, dict[str, int]]
    """Label -> name measured as `other` -> events with it."""
    replies: dict[tuple[str, ...], float]
    """(queue, channel, responder) -> replies counted."""


def stored_labels(folder: Path) -> StoredLabels:
    """Return the names in a store; it may be in use.

    Raises:
        StoreError, StateDamagedError: the store is damaged.
    """
    found = StoredLabels({}, {}, {})
    for snap in snaps_of(folder):
        if not isinstance(snap.value, bytes) or not snap.value:
            continue
        if _is_labels(snap):
            stage = unseal(snap.value, snap.step)["stage"]
            for label, value, since in stage["admitted"]:
                found.admitted.setdefault(label, {})[value] = since
            for label, names in stage["names"].items():
                found.seen[label] = {value: count for value, (_, count) in names.items()}
        elif snap.step.split(".")[1:2] == ["observe"]:
            for name, labels, value in unseal(snap.value, snap.step)["series"]:
                if name == REPLIES:
                    found.replies[tuple(labels)] = found.replies.get(tuple(labels), 0.0) + sum(value[0])
    return found


def drop_label(folder: Path, label: str, value: str) -> None:
    """Take an admitted name out of a store that is not in use.

    Raises:
        StoreError: the name is not admitted there.
    """

    def without(sealed: bytes) -> bytes:
        state: dict[str, Any] = unseal(sealed, f"stage {KEY}")
        stage = state["stage"]
        stage["admitted"] = [each for each in stage["admitted"] if each[:2] != [label, value]]
        return seal(state)

    if value not in stored_labels(folder).admitted.get(label, {}):
        raise StoreError(f"{folder}: {label} {value!r} is not admitted; `csq state labels` lists the names that are")
    step = next(snap.step for snap in snaps_of(folder) if _is_labels(snap))
    rewrite(folder, step, KEY, without)


def _is_labels(snap: Snap) -> bool:
    return snap.key == KEY and snap.step.split(".")[1:2] == [KEY]
