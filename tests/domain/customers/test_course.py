"""What becomes of a customer's record with time: fading, windows, silence, room; and of what a label teaches."""

import math
from typing import Any

import pytest

from operators.domain.customers.record import FADE_EVERY
from operators.domain.stage.facts import (
    ChurnReported,
    Complained,
    ContactAbandoned,
    ContactBegan,
    ContactReopened,
    ContactResolved,
    OrderReported,
    PageBrowsed,
    ProfileUpdated,
    SearchMade,
    WaitMissed,
)
from tests.builders import restored
from tests.domain.customers.test_stage import DAY, NAMES, Leaving, T, fact, people, settle

HOUR = 3_600.0
CONTACTS = "csq_first_contact_resolutions_total"
RISK = "csq_customers_at_risk"


def resolved(conversation: str, outcome: str = "solved", *, again: bool = False, at: float = T, who: str = "k1") -> Any:
    return fact(ContactResolved, conversation, outcome, "orders", "human", again, at=at, who=who)


def inputs(*facts: Any, **params: Any) -> dict[str, float]:
    """The inputs that a label finds after these facts."""
    (example,) = settle(people(**params), *facts, fact(ChurnReported, True, at=facts[-1].time)).examples["churn"]
    return dict(zip(NAMES, example.x.numbers, strict=True))


def test_sums_fade_with_the_half_life_at_most_once_an_hour() -> None:
    def missed(*later: float) -> float:
        seen = (fact(PageBrowsed, None, at=T + seconds) for seconds in later)
        return inputs(fact(WaitMissed), *seen, half_life_days=1.0)["missed_replies"]

    assert FADE_EVERY == HOUR
    assert missed(HOUR - 1.0) == 1.0
    assert missed(HOUR) == pytest.approx(0.5 ** (1 / 24))
    assert missed(DAY) == pytest.approx(0.5)
    assert missed(HOUR, HOUR + 1.0, 3 * HOUR) == pytest.approx(0.5 ** (3 / 24))


def test_the_share_of_unresolved_contacts_counts_each_outcome() -> None:
    def share(*facts: Any) -> float:
        return inputs(*facts)["unresolved_share"]

    assert share(resolved("c1")) == 0.0
    assert share(resolved("c1", "unsolved")) == 1.0
    assert share(resolved("c1"), resolved("c1", "partial", again=True)) == 0.5
    assert share(resolved("c1"), resolved("c1", again=True), fact(ContactAbandoned)) == pytest.approx(1 / 3)
    assert share(resolved("c1"), fact(ContactReopened, "c1"), resolved("c1", again=True)) == pytest.approx(1 / 3)


def test_what_is_counted_of_orders_complaints_searches_and_pages() -> None:
    found = inputs(
        fact(OrderReported, "completed", at=T - 2 * HOUR),
        fact(OrderReported, "cancelled", at=T - 2 * HOUR),
        fact(OrderReported, "refunded", at=T - 2 * HOUR),
        fact(OrderReported, "refunded", at=T - 2 * HOUR),
        fact(Complained, 4, at=T - 2 * HOUR),
        fact(SearchMade, 0, at=T - 2 * HOUR),
        fact(SearchMade, 1, at=T - 2 * HOUR),
        fact(SearchMade, None, at=T - 2 * HOUR),
        fact(PageBrowsed, 1_800.0, at=T - 2 * HOUR),
    )
    names = ("orders", "cancellations", "refunds", "complaints", "severity", "empty_searches", "browsing_time")
    assert [found[name] for name in names] == [1.0, 1.0, 2.0, 1.0, 4.0, 1.0, 0.5]
    assert (found["days_since_order"], found["never_ordered"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("again", "outcome"), [(7 * DAY - 1.0, "repeated"), (7 * DAY, "repeated"), (7 * DAY + 1.0, "resolved")]
)
def test_a_contact_at_the_end_of_the_window_is_one_within_it(again: float, outcome: str) -> None:
    """Also while another customer's window closes a moment before."""
    seen = settle(
        people(contact_window_days=7.0),
        resolved("c2", at=T - 1.0, who="k2"),
        resolved("c1"),
        fact(ContactBegan, "c3", at=T + again),
        fact(PageBrowsed, None, at=T + again, who="k3"),
    )
    assert seen.count(CONTACTS)["orders", outcome] >= 1
    assert seen.count(CONTACTS).get(("orders", "repeated"), 0) == (outcome == "repeated")


def known(stage: Any, *who: str) -> list[str]:
    """Which of these customers have a record: their labels are matched by a score."""
    found = []
    for name in who:
        seen = settle(stage, fact(ChurnReported, True, at=T + 1_000.0, who=name))
        found += [name] if seen.examples["churn"] else []
    return found


def test_to_make_room_an_eighth_goes_the_longest_silent_first() -> None:
    stage = people(max_customers=16)
    names = [f"k{number:02d}" for number in range(16)]
    for number, name in enumerate(names):
        settle(stage, fact(PageBrowsed, None, at=T + number, who=name))
    settle(stage, fact(PageBrowsed, None, at=T + 100.0, who=names[0]))
    seen = settle(stage, fact(PageBrowsed, None, at=T + 200.0, who="new"))
    assert seen.count("csq_state_evicted_total") == {("customers",): 2}
    assert stage.entries() == 15
    assert known(stage, names[0], names[3], "new", names[1]) == [names[0], names[3], "new"]


def test_where_an_eighth_is_less_than_one_one_goes() -> None:
    stage = people(max_customers=10)
    for number in range(11):
        seen = settle(stage, fact(PageBrowsed, None, at=T + number, who=f"k{number}"))
    assert seen.count("csq_state_evicted_total") == {("customers",): 1}
    assert stage.entries() == 10


def at_risk(seen: Any) -> dict[str, int]:
    """Segment -> customers at risk, as shown last."""
    return {segment: values[-1][1] for (segment,), values in seen.sampled(RISK).items()}


def searches(count: int, who: str = "k1", at: float = T) -> list[Any]:
    return [fact(SearchMade, 0, at=at + number, who=who) for number in range(count)]


def test_customers_at_risk_are_counted_by_segment_also_after_a_restart() -> None:
    stage = people(Leaving(line=0.5))
    joined = fact(ProfileUpdated, {}, "vip", who="k2")
    seen = settle(stage, joined, *searches(6), *searches(6, "k2"), *searches(1, "k3"))
    assert at_risk(seen) == {"other": 1, "vip": 1}
    again = restored(people(Leaving(line=0.5)), stage)
    assert at_risk(settle(again)) == {"other": 1, "vip": 1}
    assert at_risk(settle(again, fact(ProfileUpdated, {}, "vip", at=T + 9.0))) == {"other": 0, "vip": 2}


def test_a_customer_who_is_forgotten_is_at_risk_no_more() -> None:
    stage = people(Leaving(line=0.5), silence_days=30.0)
    assert at_risk(settle(stage, *searches(6))) == {"other": 1}
    assert at_risk(settle(stage, until=T + 5.0 + 30 * DAY)) == {}
    assert at_risk(settle(stage, until=T + 5.0 + 30 * DAY + 1.0)) == {"other": 0}
    assert stage.entries() == 0


def test_no_order_within_the_horizon_is_a_customer_who_left() -> None:
    stage = people(label_from="orders", horizon_days=90.0)
    assert not settle(stage, fact(PageBrowsed, None), until=T + 90 * DAY).examples["churn"]
    (example,) = settle(stage, until=T + 90 * DAY + 1.0).examples["churn"]
    assert (example.label, example.delay_seconds) == (True, 90 * DAY)
    bought = people(label_from="orders", horizon_days=90.0)
    seen = settle(bought, fact(PageBrowsed, None), fact(OrderReported, "completed", at=T + DAY), until=T + 200 * DAY)
    assert [(each.label, each.delay_seconds) for each in seen.examples["churn"]] == [(False, DAY), (True, 90 * DAY)]
    assert math.isfinite(seen.examples["churn"][0].published)
