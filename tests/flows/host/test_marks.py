"""Marks of the recovery store: at a stop all files have the same, whenever it comes."""

from threading import Event

import pytest

from flows.host.liveness import MarkEnds, MarkPartition
from flows.host.store_watch import StoreWatch
from operators.engine.epochs import Epochs

NAMES = ("mark-0", "mark-1", "mark-2")


def looked(part: MarkPartition, epoch: dict[str, int], name: str, *, due: bool) -> bool:
    """Look at an input as Bytewax does: ask for a batch, and for a snapshot at the end of the epoch or of the input."""
    try:
        part.next_batch()
        ended = False
    except StopIteration:
        ended = True
    if ended or due:
        part.snapshot()
        epoch[name] += 1
    return ended


@pytest.mark.parametrize("stopped_at", range(3))
@pytest.mark.parametrize("due_until", range(4))
def test_a_stop_in_the_middle_of_the_end_of_an_epoch_leaves_the_same_mark_in_all_files(
    stopped_at: int, due_until: int
) -> None:
    """The stop comes before the look at one mark; the epoch of the first few has ended in this round already."""
    stop, ends = Event(), MarkEnds()
    parts = {name: MarkPartition(name, b"run", stop, ends, Epochs(10.0), StoreWatch(stop.set)) for name in NAMES}
    epoch, left = dict.fromkeys(NAMES, 0), dict(parts)
    for number, name in enumerate(NAMES):
        if number == stopped_at:
            stop.set()
        if looked(parts[name], epoch, name, due=number < due_until):
            del left[name]
    for name in list(left):  # the epoch of the others ends a moment later
        if looked(left[name], epoch, name, due=epoch[name] == 0):
            del left[name]
    for name in list(left):
        assert looked(left[name], epoch, name, due=False)
    assert len(set(epoch.values())) == 1
