"""No input can multiply time series."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.stage.labels import OTHER, LabelsParams, LabelValues


@given(st.lists(st.text(max_size=30), max_size=200))
def test_whatever_is_asked_for_the_set_stays_closed(names: list[str]) -> None:
    closed = LabelValues(("orders", "billing"))
    assert {closed.at(name, 5.0) for name in names} <= {"orders", "billing", OTHER}
    assert set(closed.since) == {"orders", "billing", OTHER}


def test_a_known_name_is_itself_and_an_unknown_one_is_other() -> None:
    closed = LabelValues(("orders",))
    assert [closed.at(name, 5.0) for name in ("orders", "Orders", "", OTHER)] == ["orders", OTHER, OTHER, OTHER]


@pytest.mark.parametrize("wrong", [{"queues": [""]}, {"queues": ["x" * 65]}, {"regions": ["eu"]}])
def test_settings_with_a_wrong_name_are_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, LabelsParams)


def test_a_name_may_have_64_characters() -> None:
    assert msgspec.convert({"queues": ["x" * 64, "y"]}, LabelsParams).queues == ("x" * 64, "y")
