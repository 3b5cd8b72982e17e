"""The promise: one declaration of how long customers may wait, and what follows from it."""

import msgspec
import pytest

from operators.domain.stage.promise import ChannelPromise, Promise, Promises, PromisesParams, QueuePromise
from operators.domain.time.calendars import Calendar, CalendarParams

EMAIL = ChannelPromise(limit_seconds=3_600.0, grace_seconds=0.0)
PARAMS = PromisesParams(
    channels={"email": EMAIL},
    queues={
        "billing": QueuePromise(limit_seconds=60.0, channels={"social": ChannelPromise(limit_seconds=20.0)}),
        "returns": QueuePromise(grace_seconds=5.0),
    },
)


@pytest.mark.parametrize(
    ("queue", "channel", "promise"),
    [
        ("orders", "chat", Promise(180.0, 10.0)),
        ("orders", "email", Promise(3_600.0, 0.0)),
        ("billing", "chat", Promise(60.0, 10.0)),
        ("billing", "social", Promise(20.0, 10.0)),
        ("billing", "email", Promise(60.0, 0.0)),
        ("returns", "email", Promise(3_600.0, 5.0)),
    ],
)
def test_the_most_specific_declaration_wins(queue: str, channel: str, promise: Promise) -> None:
    assert Promises(PARAMS).of(queue, channel) == promise


def test_every_limit_that_can_occur_is_listed_once() -> None:
    assert Promises(PARAMS).limits() == (20.0, 60.0, 180.0, 3_600.0)


OFFICE = CalendarParams("UTC", {"mon-fri": ("09:00-17:00",)})
NIGHTS = CalendarParams("UTC", {"mon-fri": ("22:00-06:00",)})


def test_other_calendars_leave_the_limits_as_they_are() -> None:
    promises = Promises(PARAMS)
    assert promises.calendar_of("billing") is None
    office, nights = Calendar(OFFICE), Calendar(NIGHTS)
    queues = {"billing": QueuePromise(limit_seconds=1.0, calendar="nights"), "orders": QueuePromise(calendar="always")}
    params = PromisesParams(2.0, queues=queues, calendar="office", calendars={"office": OFFICE, "nights": NIGHTS})
    promises.replace({"office": office, "nights": nights}, params)
    assert promises.changes == 1
    found = [promises.calendar_of(queue) for queue in ("billing", "orders", "returns", "further")]
    assert found == [nights, None, office, office]
    assert [promises.of(queue, "chat") for queue in ("billing", "returns")] == [
        Promise(60.0, 10.0),
        Promise(180.0, 5.0),
    ]
    assert promises.of("billing", "social") == Promise(20.0, 10.0)
    assert promises.limits() == (20.0, 60.0, 180.0, 3_600.0)
    promises.replace({"office": nights})
    assert [promises.calendar_of(queue) for queue in ("orders", "returns")] == [None, nights]


def test_an_answer_that_was_begun_before_a_change_is_not_kept() -> None:
    """Another thread replaces the calendars while the flow looks one up."""
    office, nights = Calendar(OFFICE), Calendar(NIGHTS)

    class Interrupted(dict[str, Calendar]):
        def get(self, name: str, default: Calendar | None = None) -> Calendar | None:  # type: ignore[override] # of dict
            found = super().get(name, default)
            promises.replace({"office": nights})
            return found

    promises = Promises(PromisesParams(calendar="office", calendars={"office": OFFICE}), Interrupted(office=office))
    assert promises.calendar_of("orders") is office
    assert promises.calendar_of("orders") is nights


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_a_limit_has_to_be_positive(limit: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"queues": {"orders": {"limit_seconds": limit}}}, PromisesParams)


@pytest.mark.parametrize("where", ["queues", "channels"])
def test_other_has_no_promise_of_its_own(where: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"set promises\.limit_seconds"):
        msgspec.convert({where: {"other": {"limit_seconds": 5.0}}}, PromisesParams)
