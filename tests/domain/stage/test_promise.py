"""The promise: one declaration of how long customers may wait, and what follows from it."""

import msgspec
import pytest

from operators.domain.stage.promise import ChannelPromise, Promise, Promises, PromisesParams, QueuePromise

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


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_a_limit_has_to_be_positive(limit: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"queues": {"orders": {"limit_seconds": limit}}}, PromisesParams)


@pytest.mark.parametrize("where", ["queues", "channels"])
def test_other_has_no_promise_of_its_own(where: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"set promises\.limit_seconds"):
        msgspec.convert({where: {"other": {"limit_seconds": 5.0}}}, PromisesParams)
