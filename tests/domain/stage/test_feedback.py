"""Scores of surveys on one scale."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.stage.feedback import SCALES, label_of, mood_of, share_of


@given(st.sampled_from(sorted(SCALES)), st.integers(-10, 100), st.integers(1, 100), st.data())
def test_a_score_is_counted_on_the_scale_of_its_kind_rounded_half_up(
    kind: str, low: int, width: int, data: st.DataObject
) -> None:
    score = data.draw(st.integers(low, low + width))
    bottom, top = SCALES[kind]
    expected = floor(bottom + Fraction(score - low, width) * (top - bottom) + Fraction(1, 2))
    assert label_of(kind, share_of(float(score), float(low), float(low + width))) == str(expected)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("csat", "1 2 3 4 5"),
        ("review", "1 2 3 4 5"),
        ("suggestion", "1 2 3 4 5"),
        ("ces", "1 2 3 4 5 6 7"),
        ("nps", "0 1 2 3 4 5 6 7 8 9 10"),
    ],
)
def test_a_score_on_its_own_scale_is_itself(kind: str, labels: str) -> None:
    low, high = SCALES[kind]
    assert [label_of(kind, share_of(score, low, high)) for score in range(low, high + 1)] == labels.split()


def test_half_a_point_counts_up() -> None:
    assert [label_of("csat", share_of(score, 1, 5)) for score in (1.49, 1.5, 4.5)] == ["1", "2", "5"]


@given(st.sampled_from(sorted(SCALES)), st.floats(-1e15, 1e15), st.floats(-1e15, 1e15), st.floats(0, 1))
def test_no_scale_that_the_wire_lets_in_leaves_the_labels(kind: str, low: float, high: float, at: float) -> None:
    if not low < high:
        return
    score = min(max(low + at * (high - low), low), high)
    low_label, high_label = SCALES[kind]
    assert low_label <= int(label_of(kind, share_of(score, low, high))) <= high_label


def test_moods_are_two_fifths_one_and_two() -> None:
    assert [mood_of(score / 4) for score in range(5)] == ["negative", "negative", "neutral", "positive", "positive"]
