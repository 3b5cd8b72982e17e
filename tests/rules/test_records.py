"""Every recording rule against the real promtool, and that none is without a case."""

import re
from collections.abc import Iterator

import pytest

from flows.commands.rules.slo_records import below
from tests.rules.objectives import DECLARATION, QUEUES, Flow, labels_of, marks
from tests.rules.promtool import Rule, beginning_counts, needed, rules, run
from tests.rules.records import LEVELS, Recorded, budget, checks, reported
from tests.rules.scenarios import CSQ, steps

RECORDS = [rule for rule in rules() if "record" in rule]
OBJECTIVES = [(name, queue_class) for name, slo in DECLARATION.slos.items() for queue_class in slo.promised]
STEP = 150
DAYS = 3
PER_STEP, SHARE = 6.0, 0.25
"""Events of a step, and how many of them are bad, for three days."""
STEPS = DAYS * 86_400 // STEP

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prometheus_programs")]


def own(name: str, queue_class: str | None) -> list[Rule]:
    """The records of one objective."""
    labels = {"slo": name} if queue_class is None else {"slo": name, "class": queue_class}
    return [record for record in RECORDS if record.get("labels") == labels]


def series_of(name: str, queue_class: str | None) -> str:
    """The labels of what an objective records."""
    labels = {**labels_of(DECLARATION.slos[name], queue_class), **own(name, queue_class)[0]["labels"]}
    return ",".join(f'{label}="{value}"' for label, value in labels.items())


def expected(name: str, queue_class: str | None) -> Iterator[tuple[str, float]]:
    """Each record but those of the whole window, and its value after three days in which every fourth event was bad."""
    slo = DECLARATION.slos[name]
    for record in own(name, queue_class):
        kind, window = re.fullmatch(r"(.*?)(?:increase|ratio_rate)?(\d+[mhd])?", record["record"]).groups()
        if window is None or window == slo.window:
            continue
        width = int(window[:-1]) * {"m": 60, "h": 3_600, "d": 86_400}[window[-1]] // STEP
        samples = marks([SHARE] * STEPS)[-width - beginning_counts() :]
        share = SHARE if slo.gauge is None else sum(samples) / len(samples)
        yield record["record"], width * PER_STEP if kind == "slo:csq_events:" else share


@pytest.mark.parametrize("name", LEVELS)
def test_a_record_is_the_sum_share_or_percentile_that_its_name_says(name, tmp_path):
    [rule] = [record for record in RECORDS if record["record"] == name]

    run(needed(rule, RECORDS), [reported(LEVELS[name], name)], tmp_path)


@pytest.mark.parametrize(("name", "queue_class"), OBJECTIVES)
def test_every_window_of_an_objective_has_the_share_of_bad_events_and_their_number(name, queue_class, tmp_path):
    flow = Flow(name, QUEUES[queue_class], PER_STEP, (SHARE,) * STEPS)
    test = {
        "name": name,
        "interval": f"{STEP}s",
        "input_series": [{"series": series, "values": values} for series, values in flow.series().items()],
        "promql_expr_test": [
            check
            for record, value in expected(name, queue_class)
            for check in checks(record, {series_of(name, queue_class): value}, DAYS * 86_400)
        ],
    }
    window = DECLARATION.slos[name].window

    run([record for record in own(name, queue_class) if not record["record"].endswith(window)], [test], tmp_path)


@pytest.mark.parametrize(("name", "queue_class"), OBJECTIVES)
def test_the_budget_is_summed_from_hours_by_their_weight(name, queue_class, tmp_path):
    slo = DECLARATION.slos[name]
    records = {record["record"]: record for record in own(name, queue_class)}
    series, objective = series_of(name, queue_class), slo.promised[queue_class]
    cases = budget(series, objective, slo.window)
    if slo.gauge is not None:
        cases |= gauge_budget(series, objective, slo.window, below(slo.gauge))
    for record, case in cases.items():
        first = [records[f"slo:csq_errors:ratio_rate{slo.window}"]] if "remaining" in record else []
        run([*first, records[record]], [reported(case, record)], tmp_path)


def gauge_budget(series: str, objective: float, window: str, record: str) -> dict[str, Recorded]:
    """A gauge that was below its bound for the last tenth of a window of 30 days."""
    past, share = {f"{record}{{{series}}}": steps((0, 0, 649), (1, 0, 72))}, 72 / (720 + beginning_counts())
    return {
        f"slo:csq_errors:ratio_rate{window}": Recorded(past, 30 * 86_400, {series: share}, 3_600),
        f"slo:csq_budget:remaining_ratio{window}": Recorded(
            past, 30 * 86_400, {series: 1 - share / (1 - objective)}, 3_600
        ),
    }


def test_objectives_and_bounds_are_series_too(tmp_path):
    objectives = [record for record in RECORDS if record["record"] == "slo:csq_objective:ratio"]
    bound = [record for record in RECORDS if record["record"].endswith(":below_bool")]
    promised = {
        f'slo="{name}"' + (f',class="{of}"' if of else ""): DECLARATION.slos[name].promised[of]
        for name, of in OBJECTIVES
    }
    below_bound = {
        f'job="csq",slo="accuracy",model="{model}"': low for model, low in (("churn", 1), ("sentiment/en", 0))
    }
    test = {
        "name": "constants",
        "interval": "60s",
        "input_series": [
            {"series": f'csq_model_accuracy{{{CSQ},model="{model}"}}', "values": values}
            for model, values in (("churn", "0.59 0.59"), ("sentiment/en", "0.6 0.6"))
        ],
        "promql_expr_test": [
            *checks("slo:csq_objective:ratio", promised, 60),
            *checks("slo:csq_model_accuracy:below_bool", below_bound, 60),
        ],
    }

    run([*objectives, *bound], [test], tmp_path)


def test_every_recording_rule_has_a_case():
    of_objectives = [record for objective in OBJECTIVES for record in own(*objective)]
    tested = {record for objective in OBJECTIVES for record, _ in expected(*objective)}
    tested |= {name for slo in DECLARATION.slos.values() for name in budget("", 0.9, slo.window)}
    tested |= {"slo:csq_objective:ratio", "slo:csq_model_accuracy:below_bool"}

    assert {record["record"] for record in RECORDS if record not in of_objectives} == set(LEVELS)
    assert {record["record"] for record in of_objectives} == tested
