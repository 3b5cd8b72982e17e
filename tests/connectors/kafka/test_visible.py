"""Event time does not pass records that cannot be read yet."""

from hypothesis import given
from hypothesis import strategies as st

from operators.connectors.kafka.visible import VisibleTime


def test_without_transactions_everything_is_visible_up_to_now() -> None:
    visible = VisibleTime()
    for now in range(5):
        visible.observe(float(now), high=now * 10, stable=now * 10)
        assert visible.until == now


def test_a_broker_that_reports_no_stable_offset_holds_nothing() -> None:
    visible = VisibleTime()
    visible.observe(7.0, high=10, stable=-1)
    assert visible.until == 7.0


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_no_invisible_record_is_as_old_as_what_is_visible(moves: list[tuple[int, bool]]) -> None:
    """Each moment some records are written; transactions end now and then, and show all of them."""
    visible, written, stable = VisibleTime(), list[int](), 0
    visible.observe(-1.0, high=0, stable=0)
    for now, (records, ends) in enumerate(moves):
        written += [now] * records
        if ends:
            stable = max(stable, len(written) - 1)
        visible.observe(float(now), high=len(written), stable=stable)
        assert visible.until is not None
        assert all(time > visible.until for time in written[stable:])
        if stable == len(written):
            assert visible.until == now
