"""The knobs of the simulated shop."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Scenario = Literal["normal", "rush", "outage", "full_outage", "broken_producer", "flipped_labels"]


class SimulatorParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What the shop is like and how badly its events travel; the same values give the same bytes.

    >>> SimulatorParams(seed=7, scenario="rush").scenario_end_seconds
    3000.0
    """

    seed: Annotated[
        int,
        Meta(
            description="of all chance; change it for another day in the same shop",
            ge=0,
        ),
    ] = 1
    start: Annotated[
        float,
        Meta(
            description="POSIX seconds of the first event; 2026-01-05T08:00Z, a Monday morning; a live run passes now",
            ge=0,
            le=4e9,
        ),
    ] = 1_767_600_000.0
    events_per_second: Annotated[
        float,
        Meta(
            description="mean rate in event time, about; customers, agents, arrivals follow from it; 20 is a big shop",
            ge=0.1,
            le=1e5,
        ),
    ] = 20.0
    agent_load: Annotated[
        float,
        Meta(
            description="share of the agents' time in use on a normal day; 0.9 gives waits without growing queues; "
            "lower it for shorter waits",
            gt=0,
            le=2,
        ),
    ] = 0.9
    scenario: Annotated[
        Scenario,
        Meta(
            description="rush: arrivals triple; outage, full_outage: half the agents, or all, go offline; "
            "broken_producer: a second producer sends every event again, without what it must have; flipped_labels: "
            "negative is labelled positive; each within the scenario's times"
        ),
    ] = "normal"
    scenario_start_seconds: Annotated[
        Seconds,
        Meta(description="when the scenario begins, seconds after start; 20 minutes, so that normal is known"),
    ] = 1_200.0
    scenario_end_seconds: Annotated[
        Seconds,
        Meta(description="when the scenario ends, seconds after start; half an hour later"),
    ] = 3_000.0
    duplicate_share: Annotated[
        Share,
        Meta(description="of true events that are delivered twice; as seen after retries of a producer"),
    ] = 0.01
    late_share: Annotated[Share, Meta(description="of true events that others overtake on their way")] = 0.01
    late_seconds: Annotated[
        Seconds,
        Meta(description="longest delay of a late event; keep it below the bound that csq waits for"),
    ] = 1.5
    broken_share: Annotated[
        Share,
        Meta(description="broken events per true event; each must become a dead letter"),
    ] = 0.005
    label_share: Annotated[
        Share,
        Meta(description="of customer messages whose mood a person labels some minutes later"),
    ] = 0.15
    label_error_share: Annotated[
        Share,
        Meta(description="of those labels that are wrong; people differ a little"),
    ] = 0.04
    rating_share: Annotated[
        Share,
        Meta(description="of conversations that the customer rates after their end"),
    ] = 0.35
    chinese_share: Annotated[Share, Meta(description="of customers who write Chinese")] = 0.15
    other_language_share: Annotated[Share, Meta(description="of customers who write Spanish or German")] = 0.04
