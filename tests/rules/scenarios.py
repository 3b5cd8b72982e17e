"""The cases of every alert other than the burn rates, by name, and by class if there are several of a name.

No moment is within a step of the begin of a window: Prometheus 2 and 3 differ there.
"""

from tests.rules.promtool import Case, Firing

CSQ = 'job="csq",instance="a:1"'
OTHER = 'job="csq",instance="b:1"'
MINUTE, TEN_MINUTES, HOUR, DAY = 60, 600, 3_600, 86_400
THIRD = 48
"""Steps of ten minutes in a third of a day."""


def steps(*parts: tuple[float, float, int]) -> str:
    """Values for promtool: for each part what it begins at, what each step adds, and how many values it has.

    >>> steps((1, 0, 3), (5, 2, 2))
    '1 1 1 5 7'
    """
    return " ".join(f"{begin + add * number:.10g}" for begin, add, count in parts for number in range(count))


def counted(*parts: tuple[float, int]) -> str:
    """A counter from 0: for each part what each step adds, and for how many steps.

    >>> counted((1, 2), (10, 2))
    '0 1 2 12 22'
    """
    total, values = 0.0, [0.0]
    for add, count in parts:
        for _ in range(count):
            total += add
            values.append(total)
    return " ".join(f"{value:.10g}" for value in values)


def _days(
    days: int,
    *,
    began: tuple[float, float, float],
    decided: tuple[float, float, float],
    left: tuple[float, float, float],
    last: int | None = None,
) -> dict[str, str]:
    """Rounds of a queue that is open from 08:00 to 16:00, by third of the day, in ten minutes.

    `began` are those that begin in closed hours, `decided` those that are answered or missed, `left` those whose customer
    leaves; nothing begins after day `last`.
    """

    def series(name: str, labels: str, parts: tuple[float, float, float], until: int) -> dict[str, str]:
        quiet = [(0.0, THIRD * 3)] * (days - until)
        thirds = [(part, THIRD) for part in parts]
        return {f'{name}{{{CSQ},queue="orders"{labels}}}': counted(*(thirds * until), *quiet)}

    opened = " ".join(["0"] * THIRD + ["1"] * THIRD + ["0"] * THIRD)
    return {
        **series("csq_closed_waits_total", "", began, last or days),
        **series("csq_reply_rounds_total", ',channel="chat",outcome="missed",responder="human"', decided, days),
        **series("csq_conversations_total", ',channel="chat",outcome="abandoned"', left, days),
        f'csq_open_waits{{{CSQ},queue="orders"}}': steps((0, 0, 3 * THIRD * days + 1)),
        f'csq_queue_open{{{CSQ},queue="orders"}}': " ".join([opened] * days),
    }


def fires(value: str, since_3: str | None = None, **labels: str) -> list[Firing]:
    """One alert of job csq."""
    return [Firing({"job": "csq", **labels}, value, since_3)]


PIPELINE = {
    "CsqWatchdog": [Case("always", MINUTE, {"up": "1 1 1"}, firing={0: fires("1"), 120: fires("1")})],
    "CsqSimulated": [
        Case(
            "one of two processes is started without brokers, then both",
            MINUTE,
            {
                f"csq_simulated{{{CSQ}}}": steps((0, 0, 6), (1, 0, 40), (0, 0, 6)),
                f"csq_simulated{{{OTHER}}}": steps((0, 0, 26), (1, 0, 20), (0, 0, 6)),
            },
            silent=[5 * MINUTE, 20 * MINUTE, 46 * MINUTE],
            firing={21 * MINUTE: fires("1"), 30 * MINUTE: fires("2")},
        )
    ],
    "CsqPipelineDown": [
        Case(
            "a process stops answering, and comes back",
            15,
            {f"up{{{CSQ}}}": steps((1, 0, 8), (0, 0, 8), (1, 0, 8)), f"up{{{OTHER}}}": steps((1, 0, 24))},
            silent=[105, 165, 240],
            firing={180: fires("1"), 225: fires("1")},
        ),
        Case(
            "both processes",
            15,
            {f"up{{{CSQ}}}": steps((0, 0, 9)), f"up{{{OTHER}}}": steps((0, 0, 9))},
            silent=[45],
            firing={60: fires("2")},
        ),
        Case(
            "Prometheus knows none of them",
            15,
            {f"up{{{CSQ}}}": "1 1 1 1 stale" + " _" * 8 + " 1", 'up{job="node",instance="n:1"}': steps((0, 0, 14))},
            silent=[45, 105, 195],
            firing={120: fires("1"), 180: fires("1")},
        ),
    ],
    "CsqRestarting": [
        Case(
            "three restarts in half an hour",
            MINUTE,
            {f"process_start_time_seconds{{{CSQ}}}": steps((1, 0, 10), (2, 0, 5), (3, 0, 5), (4, 0, 40))},
            silent=[20 * MINUTE, 40 * MINUTE],
            firing={21 * MINUTE: fires("3"), 38 * MINUTE: fires("3")},
        ),
        Case(
            "two restarts, and three of something else",
            MINUTE,
            {
                f"process_start_time_seconds{{{CSQ}}}": steps((1, 0, 10), (2, 0, 5), (3, 0, 30)),
                'process_start_time_seconds{job="node",instance="n:1"}': steps((1, 1, 45)),
            },
            silent=[16 * MINUTE, 30 * MINUTE],
        ),
    ],
    "CsqBrokersLost": [
        Case(
            "one of two processes has no broker",
            15,
            {
                f"csq_source_connected{{{CSQ}}}": steps((1, 0, 4), (0, 0, 12), (1, 0, 4)),
                f"csq_source_connected{{{OTHER}}}": steps((1, 0, 20)),
            },
            silent=[165, 240],
            firing={180: fires("0"), 225: fires("0")},
        )
    ],
    "CsqStalled": [
        Case(
            "a busy hour, then nothing",
            MINUTE,
            {
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((0, 60, 61), (3_600, 0, 20), (4_860, 60, 10)),
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((20, 60), (0, 20), (20, 10)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((0, 0, 91)),
            },
            silent=[3_600, 3_960, 4_860],
            firing={4_020: fires("7m 0s"), 4_800: fires("20m 0s")},
        ),
        Case(
            "few events, but some wait to be read",
            MINUTE,
            {
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((0, 60, 61), (3_600, 0, 20)),
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((1, 60), (0, 20)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((0, 0, 61), (5, 0, 20)),
            },
            silent=[3_960],
            firing={4_020: fires("7m 0s")},
        ),
        Case(
            "low volume: a quiet night",
            MINUTE,
            {
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((0, 60, 61), (3_600, 0, 60)),
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((9, 60), (0, 60)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((0, 0, 121)),
            },
            silent=[4_020, 5_400, 7_200],
        ),
        Case(
            "a backlog is worked off: old, but coming nearer",
            MINUTE,
            {
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((-7_200, 180, 40)),
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((900, 39)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((90_000, -600, 40)),
            },
            silent=[600, 1_200, 2_340],
        ),
    ],
    "CsqProcessHangs": [
        Case(
            "one process is restarted in time, later one is not",
            15,
            {
                f"csq_peers_silent{{{CSQ}}}": steps((0, 0, 20), (1, 0, 3), (0, 0, 17), (1, 0, 20), (0, 0, 10)),
            },
            silent=[330, 345, 600, 645, 960],
            firing={675: fires("1"), 885: fires("1")},
        )
    ],
    "CsqLagGrowing": [
        Case(
            "half of what comes is worked off, then it catches up",
            MINUTE,
            {
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((600, 240)),
                f"csq_duplicates_total{{{CSQ}}}": counted((0, 240)),
                f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((0, 240)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps(
                    (0, 0, 61), (600, 600, 60), (35_000, -1_200, 29), (0, 0, 60)
                ),
            },
            silent=[60 * MINUTE, 90 * MINUTE, 150 * MINUTE, 200 * MINUTE],
            firing={100 * MINUTE: fires("1d 23h 20m 0s")},
        ),
        Case(
            "low volume: a lag of seconds",
            MINUTE,
            {
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((600, 180)),
                f"csq_duplicates_total{{{CSQ}}}": counted((0, 180)),
                f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((0, 180)),
                f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((0, 0, 61), (1, 5, 120)),
            },
            silent=[100 * MINUTE, 180 * MINUTE],
        ),
    ],
    "CsqPartitionsUnread": [
        Case(
            "two partitions are added, and taken up by a restart",
            MINUTE,
            {f'csq_source_partitions_unread{{{CSQ},source="csq.events"}}': steps((0, 0, 6), (2, 0, 21), (0, 0, 4))},
            silent=[900, 1_620],
            firing={960: fires("2", source="csq.events"), 1_560: fires("2", source="csq.events")},
        )
    ],
    "CsqTimeHeld": [
        Case(
            "a transaction that is never ended, until the broker aborts it",
            MINUTE,
            {
                f'csq_time_held_seconds{{{CSQ},reason="open_transaction"}}': steps(
                    (0, 0, 6), (30, 0, 5), (90, 0, 9), (0, 0, 5)
                ),
                f'csq_time_held_seconds{{{CSQ},reason="unread_partition"}}': steps((0, 0, 25)),
            },
            silent=[660, 1_200],
            firing={720: fires("1m 30s", reason="open_transaction"), 1_140: fires("1m 30s", reason="open_transaction")},
        )
    ],
    "CsqDeadLetterSurge": [
        Case(
            "one reason, sixty times as often as before",
            MINUTE,
            {
                f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((1, 60), (60, 20), (1, 30)),
                f'csq_dead_letters_total{{{CSQ},reason="too_old"}}': counted((1, 110)),
            },
            silent=[60 * MINUTE, 91 * MINUTE],
            firing={
                61 * MINUTE: fires("69", "76", reason="not_json"),  # 9 + 60; (8 + 60) in 9 minutes, so in 10
                75 * MINUTE: fires("600", reason="not_json"),
            },
        ),
        Case(
            "low volume: forty in ten minutes",
            MINUTE,
            {f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((0, 60), (4, 30))},
            silent=[70 * MINUTE, 90 * MINUTE],
        ),
        Case(
            "many, but as many as in the day before",
            300,
            {f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((150, 26 * 12))},
            silent=[25 * HOUR, 26 * HOUR],
        ),
        Case(
            "one is too many where csq itself failed",
            MINUTE,
            {f'csq_dead_letters_total{{{CSQ},reason="stage_failed"}}': counted((0, 20), (1, 1), (0, 20))},
            silent=[20 * MINUTE, 32 * MINUTE],
            firing={21 * MINUTE: fires("1", reason="stage_failed"), 29 * MINUTE: fires("1", reason="stage_failed")},
        ),
    ],
    "CsqDuplicateSurge": [
        Case(
            "every third event is a repeat",
            MINUTE,
            {
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((100, 90)),
                f"csq_duplicates_total{{{CSQ}}}": counted((1, 30), (50, 30), (1, 30)),
                f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((0, 90)),
            },
            silent=[30 * MINUTE, 36 * MINUTE, 70 * MINUTE],
            firing={38 * MINUTE: fires("28.67%", "30.07%"), 45 * MINUTE: fires("33.33%")},
        ),
        Case(
            "low volume: fifty repeats in ten minutes",
            MINUTE,
            {
                f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((10, 60)),
                f"csq_duplicates_total{{{CSQ}}}": counted((0, 30), (5, 30)),
                f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((0, 60)),
            },
            silent=[45 * MINUTE, 60 * MINUTE],
        ),
    ],
    "CsqClockSkew": [
        Case(
            "two minutes ahead",
            MINUTE,
            {f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((0, 60, 10), (720, 60, 10), (1_200, 60, 5))},
            silent=[14 * MINUTE, 20 * MINUTE],
            firing={15 * MINUTE: fires("2m 0s"), 19 * MINUTE: fires("2m 0s")},
        )
    ],
    "CsqSnapshotsSlow": [
        Case(
            "a tenth of the time",
            MINUTE,
            {
                f'csq_snapshot_duration_seconds_sum{{{CSQ},stage="intake"}}': counted((0.3, 30), (3, 40), (0.3, 30)),
                f'csq_snapshot_duration_seconds_sum{{{CSQ},stage="customers"}}': counted((0.3, 30), (3, 40), (0.3, 30)),
            },
            silent=[50 * MINUTE, 80 * MINUTE],
            firing={54 * MINUTE: fires("10%", instance="a:1")},
        )
    ],
    "CsqStateNearLimit": [
        Case(
            "95 of 100 records, of one stage",
            MINUTE,
            {
                f'csq_state_entries{{{CSQ},stage="customers"}}': steps((50, 0, 10), (95, 0, 30), (50, 0, 5)),
                f'csq_state_entries_limit{{{CSQ},stage="customers"}}': steps((100, 0, 45)),
                f'csq_state_entries{{{CSQ},stage="intake"}}': steps((50, 0, 45)),
                f'csq_state_entries_limit{{{CSQ},stage="intake"}}': steps((100, 0, 45)),
                f'csq_state_entries{{{CSQ},stage="learn"}}': steps((5, 0, 45)),
                f'csq_state_entries_limit{{{CSQ},stage="learn"}}': steps((5, 0, 45)),
            },
            silent=[24 * MINUTE, 40 * MINUTE],
            firing={25 * MINUTE: fires("95%", instance="a:1", stage="customers")},
        )
    ],
    "CsqStateEvicted": [
        Case(
            "five records are given up",
            MINUTE,
            {f'csq_state_evicted_total{{{CSQ},stage="customers"}}': counted((0, 20), (5, 1), (0, 30))},
            silent=[20 * MINUTE, 36 * MINUTE],
            firing={21 * MINUTE: fires("5", stage="customers"), 34 * MINUTE: fires("5", stage="customers")},
        )
    ],
}

SERVICE = {
    "CsqOldestOpenWait/urgent": [
        Case(
            "half an hour in billing",
            MINUTE,
            {
                f'csq_oldest_open_wait_seconds{{{CSQ},queue="billing"}}': steps((0, 60, 40), (0, 0, 5)),
                f'csq_oldest_open_wait_seconds{{{OTHER},queue="billing"}}': steps((0, 0, 45)),
                f'csq_oldest_open_wait_seconds{{{CSQ},queue="orders"}}': steps((0, 60, 40), (0, 0, 5)),
            },
            silent=[31 * MINUTE, 40 * MINUTE],
            firing={32 * MINUTE: fires("32m 0s", queue="billing"), 39 * MINUTE: fires("39m 0s", queue="billing")},
        ),
        Case(
            "the queue closes while a customer waits, and opens again",
            MINUTE,
            {
                f'csq_oldest_open_wait_seconds{{{CSQ},queue="billing"}}': steps(
                    (0, 60, 37), (2_160, 0, 29), (2_160, 60, 10)
                ),
                f'csq_queue_open{{{CSQ},queue="billing"}}': steps((1, 0, 36), (0, 0, 30), (1, 0, 10)),
            },
            silent=[36 * MINUTE, 50 * MINUTE, 66 * MINUTE],
            firing={35 * MINUTE: fires("35m 0s", queue="billing"), 67 * MINUTE: fires("37m 0s", queue="billing")},
        ),
    ],
    "CsqOldestOpenWait/standard": [
        Case(
            "an hour in orders",
            MINUTE,
            {
                f'csq_oldest_open_wait_seconds{{{CSQ},queue="orders"}}': steps((0, 60, 70), (0, 0, 5)),
                f'csq_oldest_open_wait_seconds{{{CSQ},queue="billing"}}': steps((0, 60, 70), (0, 0, 5)),
            },
            silent=[61 * MINUTE, 70 * MINUTE],
            firing={62 * MINUTE: fires("1h 2m 0s", queue="orders")},
        )
    ],
    "CsqNobodyThere": [
        Case(
            "all agents of both queues leave at once",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_open_waits{{{CSQ},queue="returns"}}': steps((1, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((2, 0, 40), (0, 0, 12), (1, 0, 8)),
                f'csq_agents{{{CSQ},queue="returns",state="busy"}}': steps((3, 0, 40), (0, 0, 20)),
                f'csq_agents{{{CSQ},queue="returns",state="offline"}}': steps((0, 0, 40), (3, 0, 20)),
            },
            silent=[600, 780],
            firing={615: fires("4"), 765: fires("4")},
        ),
        Case(
            "at closing time all agents leave, and customers still wait",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((5, 0, 40), (0, 0, 20)),
                f'csq_queue_open{{{CSQ},queue="orders"}}': steps((1, 0, 40), (0, 0, 20)),
            },
            silent=[600, 615, 630, 885],
        ),
        Case(
            "one queue closes, all agents of the other leave at the same time",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_open_waits{{{CSQ},queue="returns"}}': steps((1, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((2, 0, 40), (1, 0, 20)),
                f'csq_agents{{{CSQ},queue="returns",state="busy"}}': steps((5, 0, 40), (0, 0, 20)),
                f'csq_queue_open{{{CSQ},queue="orders"}}': steps((1, 0, 40), (0, 0, 20)),
                f'csq_queue_open{{{CSQ},queue="returns"}}': steps((1, 0, 60)),
            },
            silent=[600],
            firing={615: fires("1"), 885: fires("1")},
        ),
        Case(
            "the last agent of the night has a break when the others have gone home",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_open_waits{{{CSQ},queue="returns"}}': steps((1, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((9, 0, 40), (0, 0, 20)),
                f'csq_agents{{{CSQ},queue="returns",state="busy"}}': steps((1, 0, 44), (0, 0, 16)),
                f'csq_queue_open{{{CSQ},queue="orders"}}': steps((1, 0, 40), (0, 0, 20)),
            },
            silent=[615, 675, 885],
        ),
        Case(
            "one queue is still served",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((5, 0, 40), (0, 0, 20)),
                f'csq_agents{{{CSQ},queue="returns",state="busy"}}': steps((1, 0, 60)),
            },
            silent=[615, 885],
        ),
        Case(
            "low volume: four agents may all have a break",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((4, 0, 40), (0, 0, 20)),
            },
            silent=[615, 885],
        ),
        Case(
            "nobody waits",
            15,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((0, 0, 60)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((5, 0, 40), (0, 0, 20)),
            },
            silent=[615, 885],
        ),
    ],
    "CsqQueueWithoutAgents": [
        Case(
            "the last agent leaves, three customers wait",
            MINUTE,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 90)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((1, 0, 61), (0, 0, 20), (1, 0, 9)),
                f'csq_agents{{{CSQ},queue="orders",state="busy"}}': steps((1, 0, 61), (0, 0, 29)),
                f'csq_agents{{{CSQ},queue="orders",state="offline"}}': steps((0, 0, 61), (2, 0, 20), (1, 0, 9)),
            },
            silent=[65 * MINUTE, 81 * MINUTE],
            firing={66 * MINUTE: fires("3", queue="orders"), 80 * MINUTE: fires("3", queue="orders")},
        ),
        Case(
            "low volume: nobody waits",
            MINUTE,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((0, 0, 90)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((1, 0, 61), (0, 0, 29)),
            },
            silent=[70 * MINUTE, 89 * MINUTE],
        ),
        Case(
            "at closing time agents leave, nobody comes at the opening; another queue is open",
            MINUTE,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 141)),
                f'csq_open_waits{{{CSQ},queue="returns"}}': steps((2, 0, 141)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((2, 0, 61), (0, 0, 80)),
                f'csq_agents{{{CSQ},queue="returns",state="available"}}': steps((1, 0, 61), (0, 0, 80)),
                f'csq_queue_open{{{CSQ},queue="orders"}}': steps((1, 0, 61), (0, 0, 60), (1, 0, 20)),
                f'csq_queue_open{{{CSQ},queue="returns"}}': steps((1, 0, 141)),
            },
            silent=[65 * MINUTE],
            firing={
                66 * MINUTE: fires("2", queue="returns"),
                125 * MINUTE: fires("2", queue="returns"),
                126 * MINUTE: [*fires("3", queue="orders"), *fires("2", queue="returns")],
            },
        ),
        Case(
            "a queue without reports of agents",
            MINUTE,
            {
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((3, 0, 90)),
                f'csq_agents{{{CSQ},queue="orders",state="available"}}': steps((0, 0, 90)),
            },
            silent=[30 * MINUTE, 89 * MINUTE],
        ),
    ],
    "CsqCalendarWrong": [
        Case(
            "the shift works for three hours after the calendar has closed",
            MINUTE,
            {f'csq_closed_replies_total{{{CSQ},queue="orders"}}': counted((0, 60), (1, 180), (0, 60))},
            silent=[60 * MINUTE, 122 * MINUTE, 270 * MINUTE],
            firing={128 * MINUTE: fires("30", queue="orders"), 230 * MINUTE: fires("30", queue="orders")},
        ),
        Case(
            "half an hour of overtime",
            MINUTE,
            {f'csq_closed_replies_total{{{CSQ},queue="orders"}}': counted((0, 60), (2, 30), (0, 90))},
            silent=[90 * MINUTE, 119 * MINUTE, 125 * MINUTE, 180 * MINUTE],
        ),
        Case(
            "low volume: four replies in each half hour",
            MINUTE,
            {f'csq_closed_replies_total{{{CSQ},queue="orders"}}': counted((0.13, 240))},
            silent=[120 * MINUTE, 240 * MINUTE],
        ),
        Case(
            "all customers write in the evening, after the calendar has closed",
            TEN_MINUTES,
            _days(10, began=(0, 0, 1), decided=(0, 1, 0), left=(0, 0, 0), last=8),
            silent=[8 * HOUR, 9 * DAY + 20 * HOUR],
            firing={8 * DAY + 4 * HOUR: fires("48", queue="orders")},
        ),
        Case(
            "customers write at any hour alike, and get their answers when the queue is open",
            TEN_MINUTES,
            _days(9, began=(1, 0, 1), decided=(0, 3, 0), left=(0, 0, 0)),
            silent=[7 * DAY + 12 * HOUR, 8 * DAY, 8 * DAY + 7 * HOUR, 8 * DAY + 12 * HOUR, 8 * DAY + 20 * HOUR],
        ),
        Case(
            "customers write at any hour alike, and leave where the queue is closed",
            TEN_MINUTES,
            _days(9, began=(1, 0, 1), decided=(0, 1, 0), left=(1, 0, 1)),
            silent=[7 * DAY + 12 * HOUR, 8 * DAY, 8 * DAY + 12 * HOUR, 8 * DAY + 20 * HOUR],
        ),
        Case(
            "low volume: three customers in each hour of the evening, on two days",
            TEN_MINUTES,
            _days(3, began=(0, 0, 0.3), decided=(0, 0.3, 0), left=(0, 0, 0)),
            silent=[DAY + 4 * HOUR, 2 * DAY + 4 * HOUR],
        ),
        Case(
            "eight days of holidays, in which customers wait for the opening",
            TEN_MINUTES,
            {
                f'csq_closed_waits_total{{{CSQ},queue="orders"}}': counted((0, 288), (1, 1_152)),
                f'csq_reply_rounds_total{{{CSQ},queue="orders",channel="chat",outcome="met",responder="human"}}': counted(
                    (1, 288), (0, 1_152)
                ),
                f'csq_conversations_total{{{CSQ},queue="orders",channel="chat",outcome="abandoned"}}': counted(
                    (0, 1_440)
                ),
                f'csq_open_waits{{{CSQ},queue="orders"}}': steps((0, 0, 289), (1, 1, 1_152)),
                f'csq_queue_open{{{CSQ},queue="orders"}}': steps((1, 0, 288), (0, 0, 1_153)),
            },
            silent=[5 * DAY, 7 * DAY, 9 * DAY + 12 * HOUR, 10 * DAY],
        ),
    ],
    "CsqCalendarRunsOut": [
        Case(
            "the last holiday is over in 50 days; then the next year is added, in the second process a day later",
            HOUR,
            {
                f'csq_calendar_last_holiday_timestamp_seconds{{{CSQ},calendar="office"}}': steps(
                    (50 * DAY, 0, 140), (415 * DAY, 0, 60)
                ),
                f'csq_calendar_last_holiday_timestamp_seconds{{{OTHER},calendar="office"}}': steps(
                    (50 * DAY, 0, 164), (415 * DAY, 0, 36)
                ),
                f'csq_calendar_last_holiday_timestamp_seconds{{{CSQ},calendar="night"}}': steps((415 * DAY, 0, 200)),
            },
            silent=[120 * HOUR, 121 * HOUR, 165 * HOUR],
            firing={
                122 * HOUR: fires("44d 22h 0m 0s", calendar="office"),
                160 * HOUR: fires("43d 8h 0m 0s", calendar="office"),
            },
        )
    ],
    "CsqConversationsForgotten": [
        Case(
            "two are forgotten on the third day",
            HOUR,
            {
                f'csq_conversations_total{{{CSQ},queue="orders",channel="chat",outcome="forgotten"}}': counted(
                    (0, 50), (2, 1), (0, 60)
                ),
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps((0, HOUR, 112)),
            },
            silent=[50 * HOUR, 76 * HOUR],
            firing={52 * HOUR: fires("2", queue="orders"), 70 * HOUR: fires("2", queue="orders")},
        ),
        Case(
            "a history is read: its conversations of long ago end",
            HOUR,
            {
                f'csq_conversations_total{{{CSQ},queue="orders",channel="chat",outcome="forgotten"}}': counted(
                    (0, 10), (50, 5), (0, 60)
                ),
                f"csq_newest_event_timestamp_seconds{{{CSQ}}}": steps(
                    (-90 * DAY, 0, 10), (-30 * DAY, 0, 5), (15 * HOUR, HOUR, 60)
                ),
            },
            silent=[12 * HOUR, 16 * HOUR, 30 * HOUR],
        ),
    ],
    "CsqCustomersAtRisk": [
        Case(
            "sixty become a hundred",
            600,
            {
                f'csq_customers_at_risk{{{CSQ},segment="business"}}': steps((40, 0, 1153), (70, 0, 100), (40, 0, 5)),
                f'csq_customers_at_risk{{{OTHER},segment="business"}}': steps((20, 0, 1153), (30, 0, 100), (20, 0, 5)),
            },
            silent=[8 * DAY, 8 * DAY + HOUR, 8 * DAY + 101 * 600],
            firing={8 * DAY + HOUR + 600: fires("1.667", segment="business")},
        ),
        Case(
            "low volume: twenty become forty",
            600,
            {f'csq_customers_at_risk{{{CSQ},segment="business"}}': steps((20, 0, 1153), (40, 0, 50))},
            silent=[8 * DAY + 2 * HOUR, 8 * DAY + 8 * HOUR],
        ),
    ],
}

MODELS = {
    "CsqModelLossRising": [
        Case(
            "the loss doubles",
            600,
            {
                f'csq_model_loss{{{CSQ},model="churn"}}': steps((0.4, 0, 1153), (0.8, 0, 60), (0.4, 0, 60)),
                f'csq_model_examples_total{{{CSQ},model="churn"}}': counted((20, 1272)),
            },
            silent=[8 * DAY, 8 * DAY + 11 * 600, 8 * DAY + 100 * 600],
            firing={8 * DAY + 36 * 600 + 600: fires("1.998", model="churn")},  # the past has one bad value
            since={8 * DAY + 14 * 600: [{"job": "csq", "model": "churn"}]},
        ),
        Case(
            "low volume: 36 labels in 6 hours",
            600,
            {
                f'csq_model_loss{{{CSQ},model="churn"}}': steps((0.4, 0, 1153), (0.8, 0, 60)),
                f'csq_model_examples_total{{{CSQ},model="churn"}}': counted((1, 1212)),
            },
            silent=[8 * DAY + 6 * HOUR, 8 * DAY + 10 * HOUR],
        ),
    ],
    "CsqLabelsMissing": [
        Case(
            "labels stop for three days",
            HOUR,
            {
                f'csq_model_examples_total{{{CSQ},model="churn"}}': counted((5, 288), (0, 75), (5, 30)),
                f'csq_turns_total{{{CSQ},queue="orders",channel="chat",language="en",sentiment="neutral"}}': counted(
                    (10, 393)
                ),
            },
            silent=[14 * DAY, 12 * DAY + 64 * HOUR, 12 * DAY + 84 * HOUR],
            firing={15 * DAY + HOUR: fires("0%", model="churn")},
            since={12 * DAY + 68 * HOUR: [{"job": "csq", "model": "churn"}]},
        ),
        Case(
            "low volume: a dozen labels a day",
            HOUR,
            {
                f'csq_model_examples_total{{{CSQ},model="churn"}}': counted((0.5, 288), (0, 96)),
                f'csq_turns_total{{{CSQ},queue="orders",channel="chat",language="en",sentiment="neutral"}}': counted(
                    (10, 384)
                ),
            },
            silent=[15 * DAY, 16 * DAY],
        ),
        Case(
            "nobody writes, so nobody labels",
            HOUR,
            {
                f'csq_model_examples_total{{{CSQ},model="churn"}}': counted((5, 288), (0, 96)),
                f'csq_turns_total{{{CSQ},queue="orders",channel="chat",language="en",sentiment="neutral"}}': counted(
                    (10, 280), (0, 104)
                ),
            },
            silent=[15 * DAY, 16 * DAY],
        ),
    ],
    "CsqModelRolledBack": [
        Case(
            "twice in an hour",
            MINUTE,
            {f'csq_model_rollbacks_total{{{CSQ},model="churn"}}': counted((0, 20), (1, 2), (0, 80))},
            silent=[20 * MINUTE, 82 * MINUTE],
            firing={65 * MINUTE: fires("2", model="churn")},
            since={21 * MINUTE: [{"job": "csq", "model": "churn"}], 80 * MINUTE: [{"job": "csq", "model": "churn"}]},
        )
    ],
    "CsqModelBehind": [
        Case(
            "one process keeps an old model",
            MINUTE,
            {
                f'csq_model_updated_timestamp_seconds{{{CSQ},model="churn"}}': steps((0, 60, 60)),
                f'csq_model_updated_timestamp_seconds{{{OTHER},model="churn"}}': steps(
                    (0, 60, 10), (600, 0, 30), (2_400, 60, 20)
                ),
            },
            silent=[20 * MINUTE, 25 * MINUTE, 40 * MINUTE],
            firing={26 * MINUTE: fires("16m 0s", model="churn")},
        )
    ],
}

CASES = PIPELINE | SERVICE | MODELS
"""By the name of the alert, and a class after a slash."""
