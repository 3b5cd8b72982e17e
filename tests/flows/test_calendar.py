"""Changes of the calendar and of the clock's rate change nothing: daylight saving time both ways, a smeared leap second."""

from collections.abc import Callable
from datetime import UTC, datetime, timezone
from zoneinfo import ZoneInfo

import msgspec
import pytest

from operators.metrics.observe import Values
from tests.streams import ORIGIN, SERVICE, differences, run

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)
"""02:00 becomes 03:00; 03:00 becomes 02:00, so that the hour between them comes twice."""
REPLY_SECONDS = 100.0
SMEAR = 1e-5
"""By how much a clock is slower over the day of a leap second."""


def event(number: int, role: str, at: float, zone: ZoneInfo | timezone) -> bytes:
    data = {
        "message_id": f"{role}{number}",
        "conversation_id": f"c{number}",
        "customer_id": f"u{number}",
        "author": {"role": role, "id": role},
        "channel": "chat",
        "queue": "orders",
        "text": "hello",
    }
    kind = {"specversion": "1.0", "id": f"{role}{number}", "source": "test", "type": "csq.message.created"}
    return msgspec.json.encode({**kind, "time": datetime.fromtimestamp(at, zone).isoformat(), "data": data})


def hours_of(
    start: float, seconds: float, zone: ZoneInfo | timezone, agents: Callable[[float], float] = lambda at: at
) -> Values:
    """What csq measures of a question each half minute, each answered after `REPLY_SECONDS`."""
    count = int(seconds / 30)
    said = [(start + n * 30, n, "customer") for n in range(count)]
    said += [(start + n * 30 + REPLY_SECONDS, n, "agent") for n in range(count)]
    raws = [event(n, role, agents(at) if role == "agent" else at, zone) for at, n, role in sorted(said)]
    return run({ORIGIN: raws}, batch_size=16, now=start + seconds + 3_600.0).values


def check(values: Values, seconds: float, tolerance: float = 0.0) -> None:
    """Each round was met after `REPLY_SECONDS`, and no event was late."""
    count = int(seconds / 30)
    assert sum(values["csq_late_events_total"].values()) == 0
    assert sum(values["csq_dead_letters_total"].values()) == 0
    outcomes = {labels: found for labels, found in values["csq_reply_rounds_total"].items() if found}
    assert [("met" in labels, found) for labels, found in outcomes.items()] == [(True, count)]
    assert sum(values["csq_reply_seconds_sum"].values()) == pytest.approx(REPLY_SECONDS * count, abs=tolerance * count)
    below = sum(found for labels, found in values["csq_reply_seconds_bucket"].items() if labels[-1] == "60.0")
    assert below == 0  # none is short, or negative


@pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_local_times_with_their_offsets_are_measured_as_in_utc(change: datetime) -> None:
    start, seconds = change.timestamp() - 3_600.0, 7_200.0
    local, universal = hours_of(start, seconds, BERLIN), hours_of(start, seconds, UTC)
    check(local, seconds)
    assert differences(local, universal, SERVICE) == []


@pytest.mark.parametrize("rate", [-SMEAR, SMEAR])
def test_hosts_that_smear_a_leap_second_and_hosts_that_do_not_agree(rate: float) -> None:
    start, day = SPRING.timestamp(), 86_400.0
    values = hours_of(start, day, UTC, agents=lambda at: at + rate * (at - start))
    check(values, day, tolerance=1.0)
