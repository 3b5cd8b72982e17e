"""The same domain code without an engine: one instance of every stage, called one after the other in a plain loop.

The difference to the flow is the cost of Bytewax and of lanes. Each stage is one method, so that each can be timed;
what the adapters do around a stage (hold facts back, sort them) is done here as well. The pure steps and the learners
are the objects that the flow uses, called without it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from time import thread_time
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource

from flows.process import live_process
from flows.quality import Process, conversations_of, customers_of, queues_of
from flows.settings.model import Settings
from operators.domain.conversations.reading import Turn
from operators.domain.models.model import Example, Models
from operators.domain.models.registry import MODELS, training_of
from operators.domain.stage.admission import Admission
from operators.domain.stage.facts import Fact
from operators.domain.stage.intake import Arrived, Intake
from operators.domain.stage.stage import Stage, take_due
from operators.domain.time.route import Chunk
from operators.domain.time.watermark import Tick
from operators.domain.wire.outgoing import Outgoing
from operators.engine.learners import LearnLogic
from operators.metrics.observe import Observer
from operators.sentiment import sentiment
from operators.vectorize import vectorize

STAGES = (
    "route",
    "intake",
    "labels",
    "vectorize",
    "sentiment",
    "conversations",
    "queues",
    "customers",
    "learn",
    "observe",
    "publish",
)
"""The methods of `Bare` that are stages, in the order in which an event takes them."""

LANE = "0"
Batch = list[tuple[str, Any]]
"""What a pure step takes and gives, by lane."""


class Ordered:
    """A stage with the facts that wait for their turn in event time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sent: list[Fact] = []
        """Facts of other stages that it has not taken yet."""
        self.held: list[Fact] = []

    def take(self, items: Iterable[Any], now: float) -> None:
        """Take what arrived, and what other stages sent."""
        self.stage.arrive(chain(self.sent, items), now, self.held)
        self.sent = []

    def advance(self, until: float) -> None:
        """Settle the facts before `until`, in order, and advance the stage."""
        due = take_due(self.held, until)
        if due:
            self.stage.settle(iter(due))
        self.stage.advance(until)


class Bare:
    """The whole flow as plain calls."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        observer: Observer,
        publish: Callable[[list[Outgoing]], None],
    ) -> None:
        settings = _in_one_lane(settings)
        self._here: Process = live_process(settings, clock, take_snapshots=False)
        here, models = self._here, self._here.models
        self._clock, self._observer, self._publish = clock, observer, publish
        self._intake = Intake(settings.intake, settings.dedupe, here.labels)
        self._read = _function_of(lambda up: vectorize("vectorize", up, settings.vectorize))
        self._score = _function_of(lambda up: sentiment("sentiment", up, models))
        self._learners = {name: self._learner(name, models) for name in MODELS}
        self._ordered = {
            "labels": Ordered(Admission(here.labels)),
            "conversations": Ordered(conversations_of(here)()),
            "queues": Ordered(queues_of(here)()),
            "customers": Ordered(customers_of(here)()),
        }
        self._clear()

    def _learner(self, name: str, models: Models) -> LearnLogic:
        """Return the logic of one model, awake."""
        logic = LearnLogic(
            lambda name: training_of(name, self._here.settings, self._clock),
            models,
            None,
            take_snapshots=False,
            clock=self._clock,
        )
        logic.on_batch([name])
        return logic

    def _clear(self) -> None:
        self._gathered: defaultdict[str, list[Any]] = defaultdict(list)
        """Ports of lists to what was handed out there."""
        self._examples: defaultdict[str, list[Example]] = defaultdict(list)

    def run(self, batches: Iterable[list[Chunk]]) -> None:
        """Process all batches, then the rest that is sent less often."""
        for chunks in batches:
            self.take(chunks)
        for ordered in self._ordered.values():
            ordered.stage.finish()
        self.queues(None)
        self.observe()

    def take(self, chunks: list[Chunk]) -> None:
        """What was read at once through all stages."""
        for _, item in self.route(chunks):
            if isinstance(item, Tick):
                time = item.time
                self._intake.advance(time)
                self.conversations(self.labels(time), time)
                self.queues(time)
                self.customers(time)
            else:
                self.conversations(self.sentiment(self.vectorize(self.intake(item))), None)
        if self._examples:
            self.learn()
        self.observe()
        self.publish()

    def lane_stages(self) -> list[Stage]:
        """Those that keep records."""
        return [self._intake, *(ordered.stage for ordered in self._ordered.values())]

    def timed(self, seconds: dict[str, float]) -> None:
        """From now on add to `seconds` what each stage takes."""
        for name in STAGES:
            setattr(self, name, _timed(getattr(self, name), seconds, name))

    # ---- the stages

    def route(self, chunks: list[Chunk]) -> list[tuple[str, Any]]:
        """Group raw records: here into one lane."""
        return self._here.router.route_many(chunks)

    def intake(self, records: list[Any]) -> list[Arrived]:
        """Decode, and drop repeats."""
        self._intake.arrive(records, self._clock(), [])
        return self._sort(self._intake.drain())

    def labels(self, until: float) -> list[Turn]:
        """Admit names of queues, channels and segments; return the admissions as items of conversations."""
        return self._step("labels", (), until)

    def vectorize(self, events: list[Arrived]) -> Batch:
        """Clean and hash the texts."""
        return self._read([(LANE, events)])

    def sentiment(self, vectored: Batch) -> list[Turn]:
        """Score the customers' messages."""
        [(_, turns)] = self._score(vectored)
        return turns  # type: ignore[no-any-return]  # a list of turns, as the operator says

    def conversations(self, turns: list[Any], until: float | None) -> None:
        """Pair replies, watch waits; `until` is the time."""
        self._step("conversations", turns, until)

    def queues(self, until: float | None) -> None:
        """What is open and forecast per queue."""
        self._step("queues", (), until)

    def customers(self, until: float) -> None:
        """Moods and churn of customers."""
        self._step("customers", (), until)

    def _step(self, name: str, items: Iterable[Any], until: float | None) -> list[Any]:
        ordered = self._ordered[name]
        ordered.take(items, self._clock())
        if until is not None:
            ordered.advance(until)
        return self._sort(ordered.stage.drain())

    def learn(self) -> None:
        """Judge what was published, then learn."""
        for name, examples in self._examples.items():
            out, _ = self._learners[name].on_batch([examples])
            self._sort(out)
        self._examples.clear()

    def observe(self) -> None:
        """Write the metrics."""
        self._observer.record(self._gathered.pop("measured", []))

    def publish(self) -> None:
        """Hand the records to the sink."""
        self._publish(self._gathered.pop("published", []))

    def _sort(self, ports: Iterable[tuple[str, Any]]) -> list[Any]:
        """Put what a stage hands out where it belongs; gives its events."""
        events: list[Any] = []
        for port, value in ports:
            match port:
                case "events":
                    events += value
                case "admitted":
                    events += [(each.since, "", each, None) for each in value]
                case "measured" | "published":
                    self._gathered[port] += value
                case "labels" | "customers" | "queues":
                    for facts in value.values():  # of the one lane, or of the one key of labels
                        self._ordered[port].sent += facts
                case "examples":
                    for model, examples in value.items():
                        self._examples[model] += examples
                case "judged" | "lease" | "seen":  # for reports; lanes of other processes; the log
                    pass
                case _:
                    raise ValueError(f"a stage handed out to port {port!r}; bench/bare.py does not know where it leads")
        return events


def _in_one_lane(settings: Settings) -> Settings:
    """The settings for a single lane with the limits of all lanes together."""
    replace, lanes = msgspec.structs.replace, settings.state.lanes
    return replace(
        settings,
        state=replace(settings.state, lanes=1),
        dedupe=replace(settings.dedupe, max_ids=settings.dedupe.max_ids * lanes),
        conversations=replace(
            settings.conversations, max_conversations=settings.conversations.max_conversations * lanes
        ),
        customers=replace(settings.customers, max_customers=settings.customers.max_customers * lanes),
    )


def _function_of(step: Callable[[Any], Any]) -> Callable[[Batch], Batch]:
    """The function inside a pure step, taken from the operator, so that the same code runs on both sides."""
    scratch = Dataflow("scratch")
    step(op.input("nothing", scratch, TestingSource([])))
    mapper: Callable[[Batch], Batch] = scratch.substeps[-1].substeps[-1].mapper  # type: ignore[attr-defined]  # it is a flat_map_batch
    return mapper


def _timed(call: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    seconds[name] = 0.0

    def timed(*args: Any) -> Any:  # noqa: ANN401  whatever the stage takes and gives
        began = thread_time()
        try:
            return call(*args)
        finally:
            seconds[name] += thread_time() - began

    return timed
