"""The way of an event, from raw bytes to named streams. It knows no source and no sink.

Read it top to bottom: each line is a stage, each stage a file of the same name in ``operators/`` (how it sits in
Bytewax) and in ``operators/domain/`` (what it does).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.settings.model import Settings
from operators.conversations import conversations
from operators.customers import customers
from operators.domain.conversations.stage import Conversations
from operators.domain.customers.stage import Customers
from operators.domain.models import churn as churn_model
from operators.domain.models import mood
from operators.domain.models import satisfaction as satisfaction_model
from operators.domain.models import sentiment as sentiment_model
from operators.domain.models.holder import Models
from operators.domain.models.weights import ModelRecord
from operators.domain.queues.stage import Queues
from operators.domain.stage.promise import Promises
from operators.domain.stage.stage import Measurement
from operators.domain.time.lanes import Lanes
from operators.domain.time.route import Chunk, Router
from operators.domain.wire.outgoing import Outgoing
from operators.intake import intake
from operators.learn import Learner, WakeLearners, learn
from operators.queues import queues
from operators.route import route
from operators.sentiment import sentiment
from operators.vectorize import vectorize

MODELS = (*sentiment_model.MODELS.values(), satisfaction_model.MODEL, churn_model.MODEL)
"""Every model a process holds."""


@dataclass(frozen=True)
class Process:
    """What the graph must know of the process it runs in."""

    settings: Settings
    clock: Callable[[], float]
    models: Models
    router: Router
    lanes: Lanes
    name: str = "p0"
    processes: int = 1
    keep: bool = False
    """Whether a recovery store wants snapshots."""
    is_live: bool = False

    @property
    def now(self) -> Callable[[], float] | None:
        """The clock by which the age of a model is shown; in a replay it would say nothing."""
        return self.clock if self.is_live else None

    @property
    def share(self) -> str | None:
        """Name under which learners tell other processes what they learned; `None` where there are no others."""
        return self.name if self.processes > 1 else None


@dataclass(frozen=True)
class Quality:
    """What comes out."""

    measured: Stream[list[Measurement]]
    published: Stream[list[Outgoing]]
    """Findings and dead letters."""
    judged: Stream[list[Any]]
    told: Stream[list[ModelRecord]]
    """Weights for the other processes of a cluster."""


def quality(flow: Dataflow, chunks: Stream[Chunk], here: Process) -> Quality:
    """The graph as a table of contents."""
    settings, models, clock, keep = here.settings, here.models, here.clock, here.keep

    routed = route("route", chunks, here.router)
    arrived = intake("intake", routed, settings.intake, settings.dedupe, clock, keep)
    vectors = vectorize("vectorize", arrived.events, settings.vectorize)
    turns = sentiment("sentiment", vectors, models)
    talks = conversations(
        "conversations", turns, conversations_of(here), here.lanes, settings.labels.queues, clock, keep, here.name
    )
    loads = queues("queues", talks.queues, queues_of(settings), clock, keep)
    people = customers("customers", talks.customers, customers_of(here), clock, keep)

    examples = op.merge("examples", talks.examples, people.examples)
    hellos = op.input("hello", flow, WakeLearners(models.expected, here.processes))
    learned = learn("learn", examples, hellos, learner_of(settings), models, keep, here.now, here.share)

    return Quality(
        op.merge("measured", arrived.measured, talks.measured, loads.measured, people.measured, learned.measured),
        op.merge("published", talks.published, people.published, arrived.dead, loads.dead),
        learned.judged,
        learned.told,
    )


def conversations_of(here: Process) -> Callable[[], Conversations]:
    """Conversations score satisfaction with the weights this process holds."""
    settings = here.settings
    scorer = satisfaction_model.Scorer(lambda: here.models[satisfaction_model.MODEL])
    promises = Promises(settings.promises)
    return lambda: Conversations(
        settings.conversations, settings.labels, promises, here.lanes, scorer.score_one, scorer.version
    )


def queues_of(settings: Settings) -> Callable[[], Queues]:
    """Queues count a service level by the promise of the settings."""
    promises = Promises(settings.promises)
    return lambda: Queues(settings.queues, promises)


def customers_of(here: Process) -> Callable[[], Customers]:
    """Customers score churn with the weights this process holds."""
    settings = here.settings
    scorer = churn_model.Scorer(settings.churn, lambda: here.models[churn_model.MODEL])
    parts = itertools.count()
    return lambda: Customers(settings.customers, settings.labels, scorer, f"{here.name}/{next(parts)}")


def learner_of(settings: Settings) -> Callable[[str], Learner]:
    """The learner of a model, by its name."""

    def build(name: str) -> Learner:
        if name == churn_model.MODEL:
            return churn_model.Learner(settings.churn)
        if name == satisfaction_model.MODEL:
            return satisfaction_model.Learner(settings.satisfaction)
        return mood.Learner(name, settings.sentiment)

    return build
