"""The adapter of lane stages to Bytewax: the only place, beside ``learn.py``, that knows how Bytewax keeps state.

A lane stage (``domain/stage.py``) is plain Python. Here it gets its lane's batches, its facts sorted once event time
has come past them, its ticks, and its snapshots; and what it hands out leaves through named ports.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import count
from operator import length_hint
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from msgspec import Struct

from operators.domain.stage.seal import opened
from operators.domain.stage.stage import Fact, Port, Stage, check_version, take_due
from operators.domain.time.watermark import LaneTicks, Tick, Watermark
from operators.domain.wire.outgoing import Outgoing, dead_letter
from operators.engine.snapshots import Snapshots

log = logging.getLogger(__name__)

MAX_HELD = 20_000
"""Facts a lane holds back for order. Past it the older half is settled at once: memory is bounded."""

VERSION = 1
"""Of what a lane keeps around its stage's own state."""


class _Kept(Struct):
    """A snapshot as it is read: the stage knows best how to decode its own state."""

    stage: msgspec.Raw
    held: list[Any]
    reached: float | None


class LaneLogic(StatefulBatchLogic[Any, Port, bytes]):
    """One lane of one stage.

    On a resume it goes on exactly where the snapshot was taken: with the stage's records, with the facts that were held
    back, and with the time that had been reached.
    """

    def __init__(
        self, name: str, part: str, stage: Stage, clock: Callable[[], float], resume: bytes | None, *, keep: bool
    ) -> None:
        self._name = name
        self._part = part
        self._stage = stage
        self._clock = clock
        self._held: list[Fact] = []
        self._mark = Watermark()
        self._shown = (0, 0)
        self._snapshots = Snapshots(name, part, keep=keep)
        if resume:
            stored = msgspec.Raw(opened(resume, f"stage {name}"))
            check_version(f"{name} (lane)", stored, VERSION)
            state = msgspec.msgpack.decode(stored, type=_Kept)
            stage.resume(state.stage)
            self._held = [_tupled(fact) for fact in state.held]
            self._mark.reached = state.reached

    def on_batch(self, values: list[Any]) -> tuple[Iterable[Port], bool]:
        """Take batches and ticks in the order in which they came."""
        stage, held = self._stage, self._held
        now = self._clock()
        out: list[Port] = []
        for value in values:
            if type(value) is not Tick:
                out += self._guarded(lambda items: stage.arrive(items, now, held), value)
                if len(held) > MAX_HELD:
                    out += self._settle(sorted(fact[0] for fact in held)[MAX_HELD // 2])
            elif self._mark.hear(value):
                out += self._settle(value.time if self._mark.reached is None else self._mark.reached)
                out += self._advance()
        out += stage.drain()
        return out, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Port], bool]:
        """Hand out what was held back only to hand it out less often."""
        self._stage.finish()
        return self._stage.drain(), StatefulBatchLogic.RETAIN

    def _advance(self) -> list[Port]:
        """Event time went on: fire timers, count records, hand the time on behind all that happened until then."""
        reached, stage = self._mark.reached, self._stage
        if reached is None:
            return []
        out = self._guarded(lambda _: stage.advance(reached), [("advance", reached)])
        out += stage.drain()
        shown = stage.entries(), stage.limit()
        if shown != self._shown:
            self._shown = shown
            names = ("csq_state_entries", "csq_state_entries_limit")
            out.append(
                ("measured", [(name, (self._name,), (self._part, n)) for name, n in zip(names, shown, strict=True)])
            )
        cost = self._snapshots.cost()
        if cost:
            out.append(("measured", cost))
        out.append(("tick", reached))
        return out

    def _settle(self, until: float) -> list[Port]:
        """Settle what was held back up to and including `until`, in order."""
        due = take_due(self._held, until)
        return self._guarded(self._stage.settle, due) if due else []

    def _guarded(self, take: Callable[[Any], None], items: list[Any]) -> list[Port]:
        """Hand items to the stage. One that makes it raise becomes a dead letter; the others go on."""
        failed: list[Port] = []
        rest = iter(items)
        while True:
            before = length_hint(rest)
            try:
                take(rest)
            except Exception as error:  # whatever it is: one bad event must not end the flow
                log.exception(
                    "stage %s failed; what it failed on becomes a dead letter",
                    self._name,
                    extra={"event": "stage_failed"},
                )
                left = length_hint(rest)
                failed += self._failed(error, items[len(items) - left - 1])
                if not left or left == before:  # nothing is left, or it was not an item that it failed on
                    return failed
            else:
                return failed

    def _failed(self, error: Exception, item: Any) -> list[Port]:
        detail = f"stage {self._name}: {type(error).__name__}; see the log"
        counts = [
            ("csq_stage_failures_total", (self._name,), 1),
            ("csq_dead_letters_total", ("stage_failed",), 1),
        ]
        return [("published", [self._letter(detail, item)]), ("measured", counts)]

    def _letter(self, detail: str, item: Any) -> Outgoing:
        """What it failed on: the raw record if it still was one, else what the stage saw, and which event that is."""
        now = self._clock()
        match item:
            case (bytes(raw), str(origin), int(position)):
                return dead_letter(raw, "stage_failed", detail, origin, position, now=now)
            case (_, str(name), Struct() as event, *_):
                return dead_letter(_plain(event), "stage_failed", detail, self._name, name, now=now, stage=self._name)
            case (_, str(name), *_):
                return dead_letter(_plain(item), "stage_failed", detail, self._name, name, now=now, stage=self._name)
            case _:
                return dead_letter(_plain(item), "stage_failed", detail, self._name, 0, now=now, stage=self._name)

    def snapshot(self) -> bytes:
        """Versioned plain data as msgpack; nothing where no recovery store asks for it."""
        return self._snapshots.take(
            lambda: {"v": VERSION, "stage": self._stage.view(), "held": self._held, "reached": self._mark.reached}
        )


def _plain(item: Any) -> bytes:
    """What a stage failed on, as JSON."""
    try:
        return msgspec.json.encode(item)
    except (TypeError, ValueError):  # raw bytes that are no text, say
        return repr(item).encode()


def _tupled(fact: Any) -> Any:
    """Msgpack gives lists; facts are tuples, and so is what they carry."""
    return tuple(_tupled(part) if isinstance(part, list) else part for part in fact)


@operator
def lane_stage(
    step_id: str, up: KeyedStream[Any], name: str, build: Callable[[], Stage], clock: Callable[[], float], keep: bool
) -> KeyedStream[Port]:
    """A lane stage.

    In: batches and ticks, keyed by lane. Out: (port, value), keyed by lane. State: the stage's records and the facts
    held back for order, per lane; what expires is the stage's to say. On resume: goes on exactly, or refuses a state of
    another version with a message.
    """
    parts = count()

    def shim(resume: bytes | None) -> LaneLogic:
        return LaneLogic(name, str(next(parts)), build(), clock, resume, keep=keep)

    return op.stateful_batch("stage", up, shim)


@operator
def port(step_id: str, up: KeyedStream[Port], name: str) -> Stream[Any]:
    """What a stage sent to one of its ports."""

    def pick(items: list[tuple[str, Port]]) -> list[Any]:
        return [value for _, (at, value) in items if at == name]

    return op.flat_map_batch("pick", up, pick)


@operator
def keyed_port(step_id: str, up: KeyedStream[Port], name: str) -> KeyedStream[Any]:
    """What a stage sent to a port whose values are dicts: their items, keyed as they are."""

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        return [item for _, (at, value) in items if at == name for item in value.items()]

    return op.flat_map_batch("pick", up, pick)


@operator
def lane_port(step_id: str, up: KeyedStream[Port], name: str, origins: int) -> KeyedStream[Any]:
    """What a stage sent to a port for the same lanes, with the ticks in line: one of so many `origins` of ticks."""

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        out: list[tuple[str, Any]] = []
        for lane, (at, value) in items:
            if at == name:
                out.append((lane, value))
            elif at == "tick":
                out.append((lane, Tick("up", value, 1, origins)))
        return out

    return op.flat_map_batch("pick", up, pick)


@operator
def rekeyed_port(
    step_id: str, up: KeyedStream[Port], name: str, targets: tuple[str, ...], lanes: int, process: str
) -> KeyedStream[Any]:
    """What a stage sent to a port for other lanes (its values are lane -> facts), and the ticks for `targets`.

    Facts and ticks go through this one step, so a tick never overtakes the facts it speaks for.
    """
    ticks = LaneTicks(process, lanes, targets)

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        by_target: dict[str, list[Any]] = {}
        heard: list[Tick] = []
        for lane, (at, value) in items:
            if at == name:
                for target, facts in value.items():
                    by_target.setdefault(target, []).extend(facts)
            elif at == "tick" and (tick := ticks.hear(lane, value)) is not None:
                heard.append(tick)
        # One list per target however many lanes had something for it; facts may come before a tick, never behind it.
        out: list[tuple[str, Any]] = list(by_target.items())
        if heard:
            out.extend((target, heard[-1]) for target in ticks.targets(len(heard)))
        return out

    return op.flat_map_batch("pick", up, pick)
