"""The graph, from raw records to named streams, without source and sink.

Each line of `quality` is a stage; each stage has a file of the same name in ``operators/`` (its Bytewax operator) and
a module or folder in ``operators/domain/`` (its logic).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.settings.model import Settings
from operators.conversations import conversations
from operators.customers import customers
from operators.domain.conversations.stage import Conversations
from operators.domain.customers.stage import Customers
from operators.domain.models.churn import ChurnScorer
from operators.domain.models.model import Models
from operators.domain.models.satisfaction import SatisfactionScorer
from operators.domain.models.tasks import Verdict
from operators.domain.models.updates import ModelRecord, Origin
from operators.domain.queues.stage import Queues
from operators.domain.stage.labels import Labels
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Measurement
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import Chunk, Router
from operators.domain.wire.outgoing import Outgoing
from operators.domain.wire.pseudonyms import Pseudonyms
from operators.engine.learners import WakeLearners
from operators.intake import intake
from operators.labels import labels
from operators.learn import learn
from operators.pseudonyms import pseudonyms
from operators.queues import queues
from operators.route import route
from operators.sentiment import sentiment
from operators.vectorize import vectorize


@dataclass(frozen=True)
class Process:
    """What the graph needs from the process it runs in."""

    settings: Settings
    clock: Callable[[], float]
    """POSIX seconds."""
    latest: Callable[[], float]
    """POSIX seconds that intake measures the future from."""
    models: Models
    router: Router
    lanes: Lanes
    labels: Labels
    promises: Promises
    name: str = "p0"
    processes: int = 1
    take_snapshots: bool = False
    """Whether a recovery store takes snapshots."""
    is_live: bool = False
    pseudonyms: Pseudonyms | None = None
    """Of published ids; `None`: they leave as they came."""
    origin: Origin | None = None
    """Of the weights that this process announces; `None` where no other process needs them."""
    on_forgotten: Callable[[], None] = lambda: None
    """Called when a stage has dropped what it knew of a customer."""
    ignored_attributes: dict[str, int] = field(default_factory=dict)
    """Attributes of customers that `churn.attributes` does not declare -> how often they came."""


@dataclass(frozen=True)
class Quality:
    """Output streams of the graph."""

    measured: Stream[list[Measurement]]
    published: Stream[list[Outgoing]]
    """Findings and dead letters."""
    judged: Stream[list[Verdict]]
    announced: Stream[list[ModelRecord]]
    """Weights for the other processes of a cluster."""


def quality(flow: Dataflow, chunks: Stream[Chunk], process: Process) -> Quality:
    """Connect the stages."""
    settings, models, clock, take_snapshots = process.settings, process.models, process.clock, process.take_snapshots

    routed = route("route", chunks, process.router)
    arrived = intake(
        "intake",
        routed,
        settings.intake,
        settings.dedupe,
        process.labels,
        process.lanes,
        process.name,
        process.latest,
        take_snapshots,
    )
    admitted = labels("labels", arrived.sightings, process.labels, process.lanes, clock, take_snapshots)
    vectors = vectorize("vectorize", arrived.events, settings.vectorize)
    turns = sentiment("sentiment", vectors, models)
    talks = conversations(
        "conversations",
        op.merge("turns_and_labels", turns, admitted.admitted),
        conversations_of(process),
        process.lanes,
        clock,
        take_snapshots,
        process.name,
    )
    loads = queues("queues", talks.queues, queues_of(process), clock, take_snapshots)
    people = customers("customers", talks.customers, customers_of(process), clock, take_snapshots)

    examples = op.merge("examples", talks.examples, people.examples)
    names = op.input("hello", flow, WakeLearners(models.expected, process.processes))
    learned = learn("learn", examples, names, settings, models, take_snapshots, clock, process.is_live, process.origin)

    published = op.merge("published", talks.published, people.published, arrived.dead, admitted.dead, loads.dead)
    if process.pseudonyms is not None:
        published = pseudonyms("pseudonyms", published, process.pseudonyms)

    return Quality(
        op.merge(
            "measured",
            arrived.measured,
            admitted.measured,
            talks.measured,
            loads.measured,
            people.measured,
            learned.measured,
        ),
        published,
        learned.judged,
        learned.announced,
    )


def conversations_of(process: Process) -> Callable[[], Conversations]:
    """Return what makes the conversations of a lane; satisfaction is scored with the weights of this process."""
    settings, scorer = process.settings, SatisfactionScorer(process.models)
    return lambda: Conversations(
        settings.conversations,
        process.labels,
        process.promises,
        process.lanes,
        scorer.score_one,
        scorer.version,
        process.on_forgotten,
        feedback=settings.feedback,
        is_finite=not process.is_live and not process.take_snapshots,
    )


def queues_of(process: Process) -> Callable[[], Queues]:
    """Return what makes the queues of a lane."""
    return lambda: Queues(process.settings.queues, process.promises, process.labels)


def customers_of(process: Process) -> Callable[[], Customers]:
    """Return what makes the customers of a lane; churn is scored with the weights of this process."""
    settings, scorer = process.settings, ChurnScorer(process.settings.churn, process.models, process.ignored_attributes)
    parts = itertools.count()
    return lambda: Customers(
        settings.customers, process.labels, scorer, f"{process.name}/{next(parts)}", process.on_forgotten
    )
