"""What a queue counts, against the plainest way to count it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.queues.counts import AGENT_STATES, Agents, Plans, Waits, Window, bounded

NAMES = st.sampled_from([f"c{number}" for number in range(6)])
TIMES = st.integers(0, 50).map(float)


@given(st.lists(st.tuples(st.booleans(), NAMES, TIMES), max_size=60))
def test_the_oldest_wait_is_the_least_of_those_that_are_open(steps: list[tuple[bool, str, float]]) -> None:
    waits, open_since = Waits(), dict[str, float]()
    for begins, name, time in steps:
        if begins:
            waits.add(name, time)
            open_since[name] = min(time, open_since.get(name, time))
        else:
            waits.since.pop(name, None)
            open_since.pop(name, None)
        assert waits.since == open_since
        assert waits.oldest() == min(open_since.values(), default=None)
        assert Waits(open_since.items()).oldest() == waits.oldest()


def test_waits_that_ended_are_cleared_away_behind_one_that_stays() -> None:
    waits = Waits()
    waits.add("first", 0.0)
    for number in range(1_000):
        waits.add(f"c{number}", 1.0 + number)
        del waits.since[f"c{number}"]
        assert len(waits._heap) <= 2 * (len(waits.since) + 1) + 64
    assert waits.oldest() == 0.0


def test_a_table_is_bounded_from_its_oldest_entry() -> None:
    table = {"a": 1, "b": 2, "c": 3}
    bounded(table, 3)
    assert list(table) == ["a", "b", "c"]
    bounded(table, 1)
    assert list(table) == ["c"]


ROWS = st.lists(st.tuples(st.integers(0, 4), *[st.integers(0, 3)] * 3), max_size=30)


@given(ROWS, st.integers(1, 5))
def test_a_window_sums_its_last_bins(rows: list[tuple[int, int, int, int]], bins: int) -> None:
    window, number, kept = Window(bins), 0, list[tuple[int, int, int, int]]()
    for after, *values in rows:
        number += after
        window.add(number, *values)
        kept.append((number, *values))
        within = [row for row in kept if row[0] > number - bins]
        sums = tuple(sum(row[place] for row in within) for place in (1, 2, 3))
        assert (window.met, window.counted, window.arrivals) == sums
        again = Window(bins, window.held)
        assert (again.met, again.counted, again.arrivals) == sums
    window.forget(number + bins)
    assert (window.met, window.counted, window.arrivals, list(window.held)) == (0, 0, 0, [])


def test_what_comes_late_counts_in_the_newest_bin() -> None:
    window = Window(2)
    window.add(10, 1, 1, 1)
    window.add(7, 2, 3, 4)
    assert list(window.held) == [[10, 3, 4, 5]]
    window.forget(11)
    assert list(window.held) == [[10, 3, 4, 5]]
    window.forget(12)
    assert list(window.held) == []


PUTS = st.lists(
    st.tuples(
        NAMES, TIMES, st.sampled_from([*AGENT_STATES, "lost"]),
        st.none() | st.integers(0, 3), st.none() | st.integers(0, 3),
    ),
    max_size=40,
)  # fmt: skip


def load(records: list[tuple[Any, ...]], conversations: int) -> float | None:
    """The load by its definition."""
    shift = [record for record in records if record[1] != "offline"]
    stated = [(used, room) for _, _, used, room in shift if used is not None and room]
    if stated:
        return sum(used for used, _ in stated) / sum(room for _, room in stated)
    if shift:
        return conversations / len(shift)
    return 0.0 if records else None


@given(PUTS, st.integers(0, 9))
def test_agents_are_counted_by_their_newest_state(puts: list[tuple[Any, ...]], conversations: int) -> None:
    agents, newest = Agents(), dict[str, tuple[Any, ...]]()
    for name, *record in puts:
        agents.put(name, *record)
        if record[1] in AGENT_STATES and (name not in newest or newest[name][0] <= record[0]):
            newest[name] = tuple(record)
    records = list(newest.values())
    for counted in (agents, Agents(newest.items())):
        assert counted.held == newest
        assert counted.states == {state: sum(record[1] == state for record in records) for state in AGENT_STATES}
        assert counted.load(conversations) == load(records, conversations)


def test_the_longest_silent_agent_is_forgotten_first() -> None:
    agents = Agents()
    for time, name in enumerate(("a1", "a2", "a1", "a3")):
        agents.put(name, float(time), "available", None, None)
    agents.forget(1.0, 3)
    assert list(agents.held) == ["a2", "a1", "a3"]
    agents.forget(1.0, 2)
    assert list(agents.held) == ["a1", "a3"]
    agents.forget(2.5, 2)
    assert list(agents.held) == ["a3"]
    assert agents.states["available"] == 1


INTERVALS = st.lists(
    st.tuples(st.integers(0, 10), st.integers(-1, 6), st.integers(0, 9), st.sampled_from([0.0, 0.25, 1.0])), max_size=8
)


@given(INTERVALS, st.lists(st.integers(0, 20), max_size=20).map(sorted))
def test_scheduled_is_the_plan_that_began_last_of_those_that_run(
    intervals: list[tuple[int, int, int, float]], moments: list[int]
) -> None:
    plans, known = Plans(), dict[float, tuple[float, float]]()
    for start, length, agents, shrinkage in intervals:
        plans.put(float(start), float(start + length), agents, shrinkage, 100)
        if length > 0:
            known[start] = (start + length, agents * (1.0 - shrinkage))
    for now in moments:
        running = [start for start, (end, _) in known.items() if start <= now < end]
        expected = known[max(running)][1] if running else (0.0 if known else None)
        assert plans.scheduled(now) == pytest.approx(expected) if known else plans.scheduled(now) is None


def test_a_plan_that_comes_while_another_runs_counts_at_once() -> None:
    plans = Plans()
    plans.put(0.0, 100.0, 4, 0.0, 2)
    assert plans.scheduled(10.0) == 4.0
    plans.put(5.0, 50.0, 6, 0.5, 2)
    assert plans.scheduled(10.0) == 3.0
    assert plans.scheduled(50.0) == 4.0
    assert plans.scheduled(100.0) == 0.0


def test_the_farthest_plan_gives_way() -> None:
    plans = Plans()
    for start in (300.0, 100.0, 200.0):
        plans.put(start, start + 50.0, 1, 0.0, 2)
    assert sorted(plans.held) == [100.0, 200.0]
