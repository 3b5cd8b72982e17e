"""Facts leave `held` in the order of event time, each once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operators.domain.stage.facts import Fact
from operators.domain.stage.stage import take_due


class Numbered(Fact, frozen=True):
    """A fact that knows its place."""

    place: int


FACTS = st.lists(st.tuples(st.integers(0, 4).map(float), st.sampled_from(["e1", "e2", "e3"])), max_size=25)


@given(FACTS, st.integers(-1, 5).map(float))
def test_what_happened_until_then_is_taken_in_order_and_the_rest_stays(facts: list[Any], until: float) -> None:
    numbered = [Numbered(*fact, place) for place, fact in enumerate(facts)]
    held = list(numbered)
    due = take_due(held, until)
    assert due == sorted((fact for fact in numbered if fact.time <= until), key=lambda fact: (fact.time, fact.name))
    assert held == [fact for fact in numbered if fact.time > until]
