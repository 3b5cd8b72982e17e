"""What every recording rule makes of given series, as (series, values) in and samples out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.rules.promtool import beginning_counts
from tests.rules.scenarios import CSQ, HOUR, MINUTE, OTHER, counted, steps


class Recorded(NamedTuple):
    """Input series every `step` seconds; after `at` seconds the record has these samples, by labels, and no other."""

    series: Mapping[str, str]
    at: int
    samples: Mapping[str, float]
    step: int = MINUTE


def _histogram(metric: str, labels: str, per_bucket: Mapping[str, float], count: int) -> dict[str, str]:
    """A classic histogram whose buckets grow by so much each minute."""
    return {f'{metric}_bucket{{{labels},le="{le}"}}': counted((add, count)) for le, add in per_bucket.items()}


_REPLIES = {"10.0": 0.0, "30.0": 40.0, "60.0": 80.0, "120.0": 100.0, "+Inf": 100.0}
"""Per minute: half of the replies within 37.5 s, nine tenths within 90 s, 99 of 100 within 117 s."""
_HUMAN = f'{CSQ},queue="orders",channel="chat",responder="human"'
_BOT = f'{CSQ},queue="orders",channel="chat",responder="bot"'
_JOB = 'job="csq"'
_ORDERS = 'job="csq",queue="orders"'
_BOTS = {"10.0": 900.0, "30.0": 900.0, "60.0": 900.0, "120.0": 900.0, "+Inf": 900.0}


def _percentile(metric: str, percent: int, seconds: float) -> Recorded:
    series = _histogram(metric, _HUMAN, _REPLIES, 10) | _histogram(metric, _BOT, _BOTS, 10)
    return Recorded(series, 600, {_ORDERS: seconds})


def _age(percent: int, seconds: float) -> Recorded:
    series = _histogram("csq_event_age_seconds", CSQ, {"0.01": 0, "0.025": 60, "0.05": 98, "+Inf": 100}, 10)
    return Recorded(series, 600, {_JOB: seconds})


def _two(metric: str, labels: str, first: float, second: float) -> dict[str, str]:
    """A gauge of both processes."""
    return {
        f"{metric}{{{CSQ}{labels}}}": steps((first, 0, 3)),
        f"{metric}{{{OTHER}{labels}}}": steps((second, 0, 3)),
    }


def _gauge(metric: str, label: str, first: float, second: float, expected: float) -> Recorded:
    return Recorded(_two(metric, f",{label}", first, second), 120, {f"{_JOB},{label}": expected})


_CAME = {
    f'csq_events_total{{{CSQ},type="csq.message.created"}}': counted((60, 60)),
    f'csq_events_total{{{OTHER},type="csq.page.viewed"}}': counted((30, 60)),
    f"csq_duplicates_total{{{CSQ}}}": counted((6, 60)),
    f'csq_dead_letters_total{{{CSQ},reason="not_json"}}': counted((3, 60)),
    f'csq_dead_letters_total{{{OTHER},reason="too_old"}}': counted((3, 60)),
}
_LAG = {
    f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="0"}}': steps((0, 60, 61)),
    f'csq_source_lag_messages{{{CSQ},source="csq.events",partition="1"}}': steps((100, 0, 61)),
}
_AFTER = 3_600

LEVELS: dict[str, Recorded] = {
    "queue:csq_reply_seconds:p50_rate5m": _percentile("csq_reply_seconds", 50, 37.5),
    "queue:csq_reply_seconds:p90_rate5m": _percentile("csq_reply_seconds", 90, 90),
    "queue:csq_reply_seconds:p99_rate5m": _percentile("csq_reply_seconds", 99, 117),
    "queue:csq_first_response_seconds:p50_rate5m": _percentile("csq_first_response_seconds", 50, 37.5),
    "queue:csq_first_response_seconds:p90_rate5m": _percentile("csq_first_response_seconds", 90, 90),
    "queue:csq_open_waits:sum": _gauge("csq_open_waits", 'queue="orders"', 3, 2, 5),
    "queue:csq_oldest_open_wait_seconds:max": _gauge("csq_oldest_open_wait_seconds", 'queue="orders"', 0, 90, 90),
    "queue:csq_queue_open:min": _gauge("csq_queue_open", 'queue="orders"', 1, 0, 0),
    "queue:csq_conversations_open:sum": _gauge("csq_conversations_open", 'queue="orders"', 7, 1, 8),
    "queue:csq_agents_on_shift:sum": Recorded(
        {
            f'csq_agents{{{CSQ},queue="orders",state="{state}"}}': steps((number, 0, 3))
            for state, number in {"available": 2, "busy": 3, "away": 5, "offline": 7}.items()
        },
        120,
        {_ORDERS: 5},
    ),
    "segment:csq_customers_at_risk:sum": _gauge("csq_customers_at_risk", 'segment="business"', 30, 12, 42),
    "job:csq_events:rate5m": Recorded(_CAME, _AFTER, {_JOB: 1.5}),
    "job:csq_received:rate5m": Recorded(_CAME, _AFTER, {_JOB: 1.7}),
    "reason:csq_dead_letters:rate5m": Recorded(
        _CAME,
        _AFTER,
        {
            'job="csq",reason="not_json"': 0.05,
            'job="csq",reason="too_old"': 0.05,
        },
    ),
    "job:csq_event_age_seconds:p50_rate5m": _age(50, 0.0225),
    "job:csq_event_age_seconds:p99_rate5m": _age(99, 0.05),
    "job:csq_source_lag_messages:sum": Recorded(_LAG, _AFTER, {_JOB: 3_700}),
    "job:csq_source_lag_messages:deriv30m": Recorded(_LAG, _AFTER, {_JOB: 1}),
    "job:csq_arrivals:rate30m": Recorded(_CAME | _LAG, _AFTER, {_JOB: 2.7}),
    "job:csq_source_lag_day:seconds": Recorded(_CAME | _LAG, _AFTER, {_JOB: 86_400 * 2.7 - 3_700}),
    "job:csq_restarts:changes30m": Recorded(
        {
            f"process_start_time_seconds{{{CSQ}}}": steps((1, 0, 10), (2, 0, 10), (3, 0, 11)),
            f"process_start_time_seconds{{{OTHER}}}": steps((1, 0, 31)),
        },
        1_800,
        {_JOB: 2},
    ),
    "instance:csq_snapshot_time:ratio_rate15m": Recorded(
        {
            f'csq_snapshot_duration_seconds_sum{{{CSQ},stage="intake"}}': counted((1.2, 30)),
            f'csq_snapshot_duration_seconds_sum{{{CSQ},stage="customers"}}': counted((0.6, 30)),
        },
        1_800,
        {CSQ: 0.03},
    ),
    "stage:csq_state_filled:ratio": Recorded(
        {
            f'csq_state_entries{{{CSQ},stage="customers"}}': steps((30, 0, 3)),
            f'csq_state_entries_limit{{{CSQ},stage="customers"}}': steps((120, 0, 3)),
            f'csq_state_entries{{{CSQ},stage="learn"}}': steps((4, 0, 3)),
            f'csq_state_entries_limit{{{CSQ},stage="learn"}}': steps((4, 0, 3)),
        },
        120,
        {f'{CSQ},stage="customers"': 0.25},
    ),
    "model:csq_model_loss:max": Recorded(
        {f'csq_model_loss{{{CSQ},model="churn"}}': steps((0.4, 0, 3))},
        120,
        {'job="csq",model="churn"': 0.4},
    ),
    "model:csq_model_accuracy:max": Recorded(
        {f'csq_model_accuracy{{{CSQ},model="churn"}}': steps((0.8, 0, 3))},
        120,
        {'job="csq",model="churn"': 0.8},
    ),
}
"""Name of the record to what it makes of what."""


def budget(labels: str, objective: float, window: str) -> dict[str, Recorded]:
    """The records of a whole window, from its hours: the first ten were busy, in the last ten half was bad."""
    hours = int(window.removesuffix("d")) * 24
    events = {f"slo:csq_events:increase1h{{{labels}}}": steps((300, 0, 10), (100, 0, hours - 9))}
    errors = {f"slo:csq_errors:ratio_rate1h{{{labels}}}": steps((0, 0, hours - 9), (0.5, 0, 10))}
    total = (9 + beginning_counts()) * 300 + (hours - 9) * 100
    bad = 10 * 0.5 * 100
    found = {
        f"slo:csq_events:increase{window}": (events, total),
        f"slo:csq_errors:ratio_rate{window}": (events | errors, bad / total),
        f"slo:csq_budget:remaining_ratio{window}": (events | errors, 1 - bad / total / (1 - objective)),
    }
    return {name: Recorded(series, hours * HOUR, {labels: value}, HOUR) for name, (series, value) in found.items()}


def reported(recorded: Recorded, name: str) -> dict[str, Any]:
    """A test in promtool's form."""
    return {
        "name": name,
        "interval": f"{recorded.step}s",
        "input_series": [{"series": series, "values": values} for series, values in recorded.series.items()],
        "promql_expr_test": checks(name, recorded.samples, recorded.at),
    }


def checks(name: str, samples: Mapping[str, float], at: int) -> list[dict[str, Any]]:
    """That a record has these samples, by labels, and no other; promtool itself would compare to the last bit."""
    close = [
        {
            "expr": f"abs({name}{{{labels}}} - {value:.15g}) < bool {1e-9 * max(1.0, abs(value)):g}",
            "eval_time": f"{at}s",
            "exp_samples": [{"labels": f"{{{labels}}}", "value": 1}],
        }
        for labels, value in samples.items()
    ]
    number = {"expr": f"count({name})", "eval_time": f"{at}s", "exp_samples": [{"labels": "{}", "value": len(samples)}]}
    return [*close, number]
