"""Killed or stopped at random moments: what is left is what a run without it leaves (``tests/torture.py``)."""

import pytest

from tests.torture import Plan, main, torture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_after_kills_everything_is_as_without_them_learned_weights_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--exact", "--kills", "3", "--events", "120", "--seed", "3"]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.splitlines()[-1] == "lost 0, doubled 0, kills 3"


def test_after_kills_in_production_s_batches_nothing_is_lost_or_counted_twice() -> None:
    lost, doubled, reported, outcome = torture(Plan(kills=8, events=600, seed=5))
    assert reported == []
    assert (lost, doubled) == (0, 0)
    assert outcome.repeats > 0  # something was read again, else this shows nothing
    assert {"held still", "clock wrong", "store removed"} <= set(outcome.faults)


@pytest.mark.usefixtures("kafka_libraries")
def test_after_kills_of_two_processes_nothing_is_lost_or_counted_twice() -> None:
    lost, doubled, reported, outcome = torture(Plan(kills=6, events=800, seed=7, processes=2))
    assert reported == []
    assert (lost, doubled) == (0, 0)
    assert outcome.repeats > 0  # as above


def test_stopped_and_started_again_nothing_is_lost_and_nothing_repeated() -> None:
    lost, doubled, reported, outcome = torture(Plan(kills=2, events=400, seed=6, term=True))
    assert reported == []
    assert (lost, doubled, outcome.repeats) == (0, 0, 0)
