"""The graph, from raw records to named streams, without source and sink.

Each line of `quality` is a stage; each stage has a file of the same name in ``operators/`` (its Bytewax operator) and
a module or folder in ``operators/domain/`` (its logic).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.settings.model import Settings
from operators.conversations import conversations
from operators.customers import customers
from operators.domain.conversations.stage import Conversations
from operators.domain.customers.stage import Customers
from operators.domain.models.churn import ChurnScorer
from operators.domain.models.holder import Models
from operators.domain.models.satisfaction import SatisfactionScorer
from operators.domain.models.tasks import Verdict
from operators.domain.models.updates import ModelRecord
from operators.domain.stage.stage import Measurement
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import Chunk, Router
from operators.domain.wire.outgoing import Outgoing
from operators.engine.learners import WakeLearners
from operators.intake import intake
from operators.learn import learn
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
    models: Models
    router: Router
    lanes: Lanes
    name: str = "p0"
    processes: int = 1
    take_snapshots: bool = False
    """Whether a recovery store asks for snapshots."""
    is_live: bool = False


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

    satisfaction, churn = SatisfactionScorer(models), ChurnScorer(settings.churn, models)
    parts = itertools.count()

    def new_customers() -> Customers:
        return Customers(settings.customers, settings.labels, churn, f"{process.name}/{next(parts)}")

    routed = route("route", chunks, process.router)
    arrived = intake("intake", routed, settings.intake, settings.dedupe, clock, take_snapshots)
    vectors = vectorize("vectorize", arrived.events, settings.vectorize)
    turns = sentiment("sentiment", vectors, models)
    talks = conversations(
        "conversations",
        turns,
        partial(
            Conversations,
            settings.conversations,
            settings.labels,
            process.lanes,
            satisfaction.score_one,
            satisfaction.version,
        ),
        process.lanes,
        settings.labels.queues,
        clock,
        take_snapshots,
        process.name,
    )
    loads = queues("queues", talks.queues, settings.queues, clock, take_snapshots)
    people = customers("customers", talks.customers, new_customers, clock, take_snapshots)

    examples = op.merge("examples", talks.examples, people.examples)
    names = op.input("hello", flow, WakeLearners(models.expected, process.processes))
    announce_as = process.name if process.processes > 1 else None
    learned = learn("learn", examples, names, settings, models, take_snapshots, clock, process.is_live, announce_as)

    return Quality(
        op.merge("measured", arrived.measured, talks.measured, loads.measured, people.measured, learned.measured),
        op.merge("published", talks.published, people.published, arrived.dead, loads.dead),
        learned.judged,
        learned.announced,
    )
