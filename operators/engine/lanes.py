"""The adapter of lane stages to Bytewax.

A lane stage (``domain/stage/stage.py``) is plain Python. Here it gets the batches of its lane, its facts sorted once
the watermark has passed them, its ticks, and its snapshots; what it produces leaves through named ports. What it fails
on becomes a dead letter.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, reduce
from itertools import chain, count
from operator import length_hint, or_
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from msgspec import Struct

from operators.domain.stage.facts import Fact
from operators.domain.stage.seal import opened
from operators.domain.stage.stage import Port, Stage, check_version, take_due
from operators.domain.time.watermark import LaneTicks, Tick, Watermark
from operators.domain.wire.outgoing import Outgoing, dead_letter
from operators.engine.snapshots import Snapshots

log = logging.getLogger(__name__)

MAX_HELD = 20_000
"""Facts that a lane holds back for order. Beyond it the older half is settled early: memory is bounded."""
HELD_STEP = 1_000
"""Facts by which a lane's share of csq_held_facts grows before it is measured again without a tick."""

VERSION = 2
"""Of what a lane stores around its stage's own state."""


class _Stored(Struct):
    """A snapshot as it is decoded; the stage decodes its own part."""

    stage: msgspec.Raw
    held: msgspec.Raw
    reached: float | None


class EarlyLog:
    """Logs that a stage settles facts early: the first time only, for all lanes of a stage."""

    def __init__(self) -> None:
        self._logged = False

    def report(self, stage: str, reached: float | None) -> None:
        """Log, once."""
        if not self._logged:
            self._logged = True
            log.warning(
                "stage %s: a lane holds more than %d facts while event time does not advance beyond "
                "%s; the older half is "
                "settled early, so later facts are out of order",
                stage,
                MAX_HELD,
                "no time" if reached is None else datetime.fromtimestamp(reached, UTC).isoformat(timespec="seconds"),
                extra={"event": "facts_settled_early"},
            )


class LaneLogic(StatefulBatchLogic[Any, Port, bytes]):
    """One lane of one stage.

    After a restart it continues where the snapshot was taken: with the records of the stage, the facts that were held
    back, and the time that had been reached.
    """

    def __init__(
        self,
        part: str,
        stage: Stage,
        clock: Callable[[], float],
        resume: bytes | None,
        *,
        take_snapshots: bool,
        early: EarlyLog | None = None,
    ) -> None:
        self._name = stage.name
        self._part = part
        self._stage = stage
        self._clock = clock
        self._held: list[Fact] = []
        self._mark = Watermark()
        self._shown = (0, 0, 0)
        self._early = EarlyLog() if early is None else early
        self._snapshots = Snapshots(self._name, part, take_snapshots=take_snapshots)
        if resume:
            stored = msgspec.Raw(opened(resume, f"stage {self._name}"))
            check_version(f"{self._name} (lane)", stored, VERSION)
            state = msgspec.msgpack.decode(stored, type=_Stored)
            stage.restore(state.stage)
            self._held = [fact for fact in _facts_of(state.held, stage.fact_types()) if stage.is_valid(fact)]
            self._mark.reached = state.reached

    def on_batch(self, values: list[Any]) -> tuple[Iterable[Port], bool]:
        """Take batches and ticks in the order of arrival."""
        stage, held = self._stage, self._held
        now = self._clock()
        out: list[Port] = []
        for value in values:
            if type(value) is not Tick:
                out += self._guarded(lambda items: stage.arrive(items, now, held), value)
                if len(held) > MAX_HELD:
                    out += self._settle_early()
            elif self._mark.observe(value):
                out += self._settle(value.time if self._mark.reached is None else self._mark.reached)
                out += self._advance()
        out += stage.drain()
        if stage.failures:
            out.append(self._failures())
        if len(held) >= self._shown[2] + HELD_STEP:
            out.append(self._measure())
        return out, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Port], bool]:
        """Hand out what was held back by a limit on how often it is measured."""
        self._stage.attempt(self._stage.finish)
        out = self._stage.drain()
        return [*out, self._failures()] if self._stage.failures else out, StatefulBatchLogic.RETAIN

    def _advance(self) -> list[Port]:
        """Set the time of the stage, measure the lane, and send the tick on, behind all items before it."""
        reached, stage = self._mark.reached, self._stage
        if reached is None:
            return []
        stage.attempt(stage.advance, reached)
        out = stage.drain()
        if self._shown != (stage.entries(), stage.limit(), len(self._held)):
            out.append(self._measure())
        cost = self._snapshots.cost()
        if cost:
            out.append(("measured", cost))
        out.append(("tick", reached))
        return out

    def _measure(self) -> Port:
        self._shown = self._stage.entries(), self._stage.limit(), len(self._held)
        names = ("csq_state_entries", "csq_state_entries_limit", "csq_held_facts")
        return "measured", [(name, (self._name,), (self._part, n)) for name, n in zip(names, self._shown, strict=True)]

    def _failures(self) -> Port:
        """Count work of the stage that failed (``Stage.attempt_each``)."""
        failures, self._stage.failures = self._stage.failures, 0
        return "measured", [("csq_stage_failures_total", (self._name,), failures)]

    def _settle(self, until: float) -> list[Port]:
        """Settle the facts up to and including `until`, in order."""
        due = take_due(self._held, until)
        return self._guarded(self._stage.settle, due) if due else []

    def _settle_early(self) -> list[Port]:
        """Settle the older half of the facts although event time has not passed them."""
        before = len(self._held)
        out = self._settle(sorted(fact.time for fact in self._held)[MAX_HELD // 2])
        self._early.report(self._name, self._mark.reached)
        out.append(("measured", [("csq_early_facts_total", (self._name,), before - len(self._held))]))
        return out

    def _guarded(self, take: Callable[[Any], None], items: list[Any]) -> list[Port]:
        """Hand items to the stage. The one on which it fails becomes a dead letter; the others go on.

        A failure after the stage has asked for more items than there are is about none of them: it is counted and
        logged, and no item becomes a dead letter for it.
        """
        failed: list[Port] = []
        rest, ended = iter(items), list[bool]()
        source = chain(rest, iter(lambda: ended.append(True), None))  # the second one is empty, and notes the end
        while True:
            before = length_hint(rest)
            try:
                take(source)
            except Exception as error:  # any error: one bad event must not end the flow
                if ended or not before:
                    self._stage.failures += 1
                    log.exception(
                        "stage %s failed after the last item", self._name, extra={"event": "stage_work_failed"}
                    )
                    return failed
                log.exception(
                    "stage %s failed on an item, which becomes a dead letter",
                    self._name,
                    extra={"event": "stage_failed"},
                )
                if length_hint(rest) == before:  # it failed before it took one: each item is tried once
                    next(rest, None)
                failed += self._failed(error, items[len(items) - length_hint(rest) - 1])
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
        """Return the dead letter of an item: the raw record if it is one, else what the stage was given."""
        now = self._clock()
        match item:
            case (bytes(raw), str(origin), int(position)):
                return dead_letter(raw, "stage_failed", detail, origin, position, now=now)
            case (_, str(name), Struct() as event, *_):
                return dead_letter(_plain(event), "stage_failed", detail, self._name, name, now=now, stage=self._name)
            case Fact(name=name):
                value = _plain({"fact": type(item).__name__, **msgspec.structs.asdict(item)})
                return dead_letter(value, "stage_failed", detail, self._name, name, now=now, stage=self._name)
            case _:
                return dead_letter(_plain(item), "stage_failed", detail, self._name, 0, now=now, stage=self._name)

    def snapshot(self) -> bytes:
        """Return versioned plain data as msgpack; nothing without a recovery store."""
        return self._snapshots.take(
            lambda: {"v": VERSION, "stage": self._stage.snapshot(), "held": self._held, "reached": self._mark.reached}
        )


def _plain(item: Any) -> bytes:
    """Return an item as JSON."""
    try:
        return msgspec.json.encode(item)
    except (TypeError, ValueError):  # for example raw bytes that are not text
        return repr(item).encode()


def _facts_of(stored: msgspec.Raw, kinds: tuple[type[Fact], ...]) -> list[Fact]:
    return _decoder_of(kinds).decode(stored) if kinds else []


@cache
def _decoder_of(kinds: tuple[type[Fact], ...]) -> msgspec.msgpack.Decoder[list[Fact]]:
    """Return the decoder of the facts of one stage: a tagged union."""
    return msgspec.msgpack.Decoder(list[reduce(or_, kinds)])  # type: ignore[misc]  # a union made at run time


@operator
def lane_stage(
    step_id: str, up: KeyedStream[Any], build: Callable[[], Stage], clock: Callable[[], float], take_snapshots: bool
) -> KeyedStream[Port]:
    """A lane stage.

    In: batches and ticks, keyed by lane. Out: (port, value), keyed by lane. State: the stage's records and the facts
    held back for order, per lane; expiry is defined by the stage. On resume: continues exactly, or refuses a state of
    another version with an error.
    """
    parts, early = count(), EarlyLog()

    def shim(resume: bytes | None) -> LaneLogic:
        return LaneLogic(str(next(parts)), build(), clock, resume, take_snapshots=take_snapshots, early=early)

    return op.stateful_batch("stage", up, shim)


@operator
def port(step_id: str, up: KeyedStream[Port], name: str) -> Stream[Any]:
    """The values that a stage sent to one of its ports."""

    def pick(items: list[tuple[str, Port]]) -> list[Any]:
        return [value for _, (at, value) in items if at == name]

    return op.flat_map_batch("pick", up, pick)


@operator
def keyed_port(step_id: str, up: KeyedStream[Port], name: str) -> KeyedStream[Any]:
    """The items of the dicts that a stage sent to a port, with their keys."""

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        return [item for _, (at, value) in items if at == name for item in value.items()]

    return op.flat_map_batch("pick", up, pick)


@operator
def lane_port(step_id: str, up: KeyedStream[Port], name: str, origins: int) -> KeyedStream[Any]:
    """The values that a stage sent to a port for the same lanes, with the ticks in line, of one of `origins`."""

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
    """The facts that a stage sent to a port for other lanes (lane -> facts), and the ticks for `targets`.

    Facts and ticks go through this one step, so a tick never overtakes the facts it covers.
    """
    ticks = LaneTicks(process, lanes, targets)

    def pick(items: list[tuple[str, Port]]) -> list[tuple[str, Any]]:
        by_target: dict[str, list[Any]] = {}
        observed: list[Tick] = []
        for lane, (at, value) in items:
            if at == name:
                for target, facts in value.items():
                    by_target.setdefault(target, []).extend(facts)
            elif at == "tick" and (tick := ticks.observe(lane, value)) is not None:
                observed.append(tick)
        # One list per target, for all lanes; facts may be sent before a tick, never after it.
        out: list[tuple[str, Any]] = list(by_target.items())
        if observed:
            out.extend((target, observed[-1]) for target in ticks.targets(len(observed)))
        return out

    return op.flat_map_batch("pick", up, pick)
