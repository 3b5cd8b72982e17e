"""The drills: fault, expected notification, and alerts that must be inhibited."""

from collections.abc import Callable
from dataclasses import dataclass, field

from operators.simulator import Scenario, SimulatorParams
from tests.drills.ground import Ground

Act = Callable[[Ground], None]

AGENT_LOAD = 0.5
"""Low enough that every queue keeps every objective, whatever the seed: the smallest queues have seven agents. At 0.65
they have five, who are all busy for a fifth of the time; within three hours two of three seeds then exceed a budget.
"""


def shop(scenario: Scenario) -> Act:
    """Change the scenario of the shop."""
    return lambda ground: ground.shop.change(scenario)


def kill_broker(ground: Ground) -> None:
    """As a lost machine."""
    assert ground.kafka is not None, "this drill wants a real Kafka"
    ground.kafka.kill()


def start_broker(ground: Ground) -> None:
    """With the data that it had."""
    assert ground.kafka is not None, "this drill wants a real Kafka"
    ground.kafka.start()


@dataclass(frozen=True)
class Drill:
    """One fault, and the expected notifications."""

    name: str
    cause: str
    by: float
    """Factor by which the shop and the evaluation of rules are faster."""
    begin: Act
    end: Act
    alert: str
    labels: dict[str, frozenset[str]]
    """Labels of every notification of the alert, with their correct values."""
    receiver: str
    held: frozenset[str] = frozenset()
    """Follow-ups of which at least one has to be kept back; empty: nothing follows."""
    beside: frozenset[str] = frozenset()
    """Other alerts that may notify."""
    within_seconds: float = 60.0
    """Wall time from the cause to the notice."""
    long_by: float = field(default=0.0)
    """The same for the rules of models, whose windows are longer; 0: as `by`."""
    events_per_second: float = 5.0
    """Of the shop's own time: in the smallest queue some hundred conversations an hour, enough for every guard."""
    agent_load: float = AGENT_LOAD
    """Share of the agents' time that is taken before the cause."""
    real_kafka: bool = False
    objective_seconds: float | None = None
    """Aim in objective time, where there is one: the drill fails beyond it."""

    @property
    def shop_params(self) -> SimulatorParams:
        """The shop before the cause. No event is late: event to metric measures the way through csq."""
        return SimulatorParams(events_per_second=self.events_per_second, agent_load=self.agent_load, late_share=0.0)


def _is(**labels: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(values.split("|")) for name, values in labels.items()}


WAITS = frozenset({"CsqReplyBurn", "CsqReply5mBurn", "CsqFirstResponseBurn", "CsqAbandonmentBurn", "CsqOldestOpenWait"})
SERVICE = WAITS | {"CsqCsatBurn", "CsqResolutionBurn", "CsqQueueWithoutAgents"}


def _late_replies(scenario: Scenario, cause: str, agent_load: float = AGENT_LOAD) -> Drill:
    """A scenario in which customers of every queue wait past the reply limit."""
    return Drill(
        name=scenario,
        cause=cause,
        by=60,
        begin=shop(scenario),
        end=shop("normal"),
        alert="CsqReplyBurn",
        labels=_is(severity="page", team="service", slo="reply", queue="billing|technical|orders|returns"),
        receiver="page-service",
        held=WAITS,
        beside=SERVICE,
        within_seconds=150,
        agent_load=agent_load,
    )


DRILLS = (
    # With more agents many still answer in time, and only tickets come.
    _late_replies("outage", "half the agents leave", agent_load=0.65),
    _late_replies("rush", "three times as many customers", agent_load=0.65),
    Drill(
        name="full outage",
        cause="all agents leave",
        by=5,  # not faster: the aim is of seconds, and neither csq nor a notice on its way becomes faster
        begin=shop("full_outage"),
        end=shop("normal"),
        alert="CsqNobodyThere",
        labels=_is(severity="page", team="service"),
        receiver="page-service",
        held=frozenset({"CsqQueueWithoutAgents"}),
        beside=SERVICE,
        within_seconds=60,
        objective_seconds=60,
    ),
    Drill(
        name="broken producer",
        cause="every event again, without a field",
        by=60,
        begin=shop("broken_producer"),
        end=shop("normal"),
        alert="CsqDeadLettersBurn",
        labels=_is(severity="page", team="platform", slo="dead-letters"),
        receiver="page-platform",
        held=frozenset({"CsqDeadLettersBurn"}),
        beside=frozenset({"CsqDeadLetterSurge"}),
        within_seconds=90,
    ),
    Drill(
        name="flipped labels",
        cause="negative is labelled positive",
        by=60,
        long_by=720,
        events_per_second=8,
        begin=shop("flipped_labels"),
        end=shop("normal"),
        alert="CsqModelLossRising",
        labels=_is(severity="ticket", team="data", model="sentiment/en|sentiment/zh"),
        receiver="ticket-data",
        beside=frozenset({"CsqAccuracyBurn"}),
        within_seconds=90,
    ),
    Drill(
        name="broker down",
        cause="the broker is killed",
        by=15,
        begin=kill_broker,
        end=start_broker,
        alert="CsqBrokersLost",
        labels=_is(severity="page", team="platform"),
        receiver="page-platform",
        held=frozenset({"CsqStalled"}),
        beside=frozenset({"CsqFreshnessBurn"}),  # after the recovery waiting events are counted late
        within_seconds=60,
        real_kafka=True,
    ),
)
LANES = (("full outage",), ("broken producer",), ("broker down",), ("outage",), ("rush",), ("flipped labels",))
"""What is held over the same csq and shop, one after the other; the longest first, for lanes are held side by side."""
