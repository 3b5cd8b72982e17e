"""The live view shows the numbers of the registry, and rates that are differences."""

import io
import math
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console, RenderableType

from flows.commands.run.view import SHOWN, LiveView, ViewReading, below, bound_of, render, save_svg
from operators.domain.stage.stage import Measurement
from operators.metrics.catalogue import CATALOGUE, ClosedSets
from operators.metrics.observe import Observer, read

URLS = {"metrics": "http://127.0.0.1:9464/metrics", "healthz": "http://127.0.0.1:9464/healthz"}
NOW = 1_700_000_000.0
EVENT = "csq.message.created"
LANGUAGES = ("en", "other", "zh")
MODELS = ("churn", "satisfaction", "sentiment/en", "sentiment/other", "sentiment/zh")


class Shop:
    """A registry with something in it."""

    def __init__(
        self, queues: tuple[str, ...] = ("orders", "returns"), models: tuple[str, ...] = ("churn", "sentiment/en")
    ) -> None:
        self.registry = CollectorRegistry()
        sets = ClosedSets(queue=queues, channel=("chat", "email"), segment=("new", "vip"), model=models)
        self.observer = Observer(self.registry, sets, clock=lambda: NOW, strict=True)

    def read(self, at: float) -> ViewReading:
        return ViewReading(NOW + at, read(self.registry, SHOWN))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def lines(view: RenderableType, width: int = 100, height: int = 40) -> list[str]:
    written = io.StringIO()
    Console(width=width, height=height, file=written).print(view)
    return written.getvalue().splitlines()


def row(view: RenderableType, start: str, width: int = 100, height: int = 40) -> list[str]:
    """The words of the only line that starts so."""
    (line,) = (line for line in lines(view, width, height) if line.strip().startswith(start))
    return line.split()


def show(now: ViewReading, recent: ViewReading | None = None, minute: ViewReading | None = None) -> RenderableType:
    return render(now, recent or now, minute or now, URLS)


def test_the_view_of_a_flow_that_has_not_begun_claims_nothing(shop: Shop) -> None:
    text = "\n".join(lines(show(shop.read(0))))
    assert "- events/s" in text
    assert "- since the newest" in text
    assert "- of 5, last minute" in text
    assert row(show(shop.read(0)), "orders") == ["orders", "0", "0", "-", "-", "-", "-", "-", "0"]
    assert row(show(shop.read(0)), "churn") == ["churn", "0", "-", "-", "-", "-"]


def test_rates_are_differences_and_totals_are_not(shop: Shop) -> None:
    shop.observer.record([("csq_events_total", (EVENT,), 1000)])
    before = shop.read(0)
    shop.observer.record([("csq_events_total", (EVENT,), 500)])
    assert row(show(shop.read(5), before), "100 events/s")[:4] == ["100", "events/s", "1,500", "events"]


def test_the_head_says_how_old_and_what_was_refused(shop: Shop) -> None:
    before = shop.read(-60)
    shop.observer.record(
        [
            ("csq_event_age_seconds", (), [NOW - 3] * 98 + [NOW - 40] * 2),
            ("csq_dead_letters_total", ("not_json",), 7),
            ("csq_duplicates_total", (), 12),
            ("csq_late_events_total", (), 3),
        ]
    )
    text = "\n".join(lines(show(shop.read(0), minute=before)))
    assert "3.0s since the newest" in text
    assert "<5s age p50  <1m p99" in text
    assert "7 dead letters  12 duplicates  3 late" in text


def test_a_queue_shows_its_waits_its_reply_time_and_its_forecast(shop: Shop) -> None:
    shop.observer.record(
        [
            ("csq_conversations_open", ("orders",), 31),
            ("csq_open_waits", ("orders",), 4),
            ("csq_oldest_open_wait_seconds", ("orders",), 95),
            ("csq_reply_smoothed_seconds", ("orders", "chat"), 60),
            ("csq_reply_smoothed_seconds", ("orders", "email"), 600),
            *[("csq_reply_seconds", ("orders", "chat", "human"), 50)] * 2,
            ("csq_reply_seconds", ("orders", "email", "human"), 500),
            ("csq_reply_forecast_seconds", ("orders", "900", "median"), 75),
            ("csq_reply_forecast_seconds", ("orders", "900", "upper"), 3725),
            ("csq_reply_forecast_seconds", ("orders", "300", "median"), 1),
            ("csq_reply_rounds_total", ("orders", "chat", "met", "human"), 3),
            ("csq_reply_rounds_total", ("orders", "email", "missed", "human"), 1),
            ("csq_agents", ("orders", "available"), 2),
            ("csq_agents", ("orders", "busy"), 3),
            ("csq_agents", ("orders", "away"), 9),
        ]
    )
    shown = " ".join(row(show(shop.read(0)), "orders"))
    assert shown == "orders 31 4 1m 35s 4m 00s 1m 15s 1h 02m 75% 5"


def test_what_is_in_no_known_queue_is_shown_only_when_there_is_some(shop: Shop) -> None:
    assert "other" not in "\n".join(lines(show(shop.read(0))))
    shop.observer.record([("csq_open_waits", ("nowhere",), 0)])
    assert "other" not in "\n".join(lines(show(shop.read(0))))
    shop.observer.record([("csq_open_waits", ("nowhere",), 2)])
    assert row(show(shop.read(0)), "other")[2] == "2"


def test_the_sentiment_is_that_of_the_last_minute(shop: Shop) -> None:
    shop.observer.record([("csq_turns_total", ("orders", "chat", "en", "negative"), 100)])
    before = shop.read(0)
    shop.observer.record(
        [
            ("csq_turns_total", ("orders", "chat", "en", "positive"), 3),
            ("csq_turns_total", ("returns", "email", "en", "neutral"), 1),
        ]
    )
    view = show(shop.read(60), minute=before)
    language, bar, *figures = row(view, "en ")
    assert (language, figures) == ("en", ["4", "0%", "25%", "75%"])
    assert len(bar) == 24
    assert not any(line.strip().startswith("zh") for line in lines(view))


def test_satisfaction_is_shown_for_the_last_minute_and_since_the_start(shop: Shop) -> None:
    shop.observer.record([("csq_satisfaction_score", ("orders", "chat"), 2.0)] * 3)
    before = shop.read(0)
    shop.observer.record([("csq_satisfaction_score", ("returns", "email"), 4.0)])
    assert " ".join(row(show(shop.read(60), minute=before), "Satisfaction")) == (
        "Satisfaction 4.00 of 5, last minute 2.50 since the start"
    )


def test_customers_at_risk_are_shown_by_segment(shop: Shop) -> None:
    shop.observer.record([("csq_customers_at_risk", ("vip",), (lane, 20)) for lane in "ab"])
    assert " ".join(row(show(shop.read(0)), "At risk")) == "At risk 40 customers 40 vip"


def test_a_model_shows_what_it_has_and_a_dash_for_the_rest(shop: Shop) -> None:
    shop.observer.record(
        [
            ("csq_model_examples_total", ("churn",), 1234),
            ("csq_model_auc", ("churn",), 0.8125),
            ("csq_model_loss", ("churn",), 0.0),
        ]
    )
    assert row(show(shop.read(0)), "churn") == ["churn", "1,234", "-", "0.812", "0.000", "-"]


def test_the_addresses_come_first_the_first_of_them_whole(shop: Shop) -> None:
    assert row(show(shop.read(0)), "csq", 80) == ["csq", "http://127.0.0.1:9464/metrics", "/healthz"]


def test_simulated_data_is_said_in_the_first_line_and_only_then(shop: Shop) -> None:
    said = "Simulated data: no brokers are set, these customers are invented"
    shop.observer.record([("csq_simulated", (), 0)])
    assert said not in "\n".join(lines(show(shop.read(0)), 80))
    shop.observer.record([("csq_simulated", (), 1)])
    shown = [line.strip() for line in lines(show(shop.read(0)), 80, 24)]
    assert shown.index(said) < shown.index("csq  http://127.0.0.1:9464/metrics  /healthz")


def open_demo(shop: Shop, queues: int = 4) -> None:
    """Fill what the shop of the demo fills, with numbers as long as they become."""
    measured: list[Measurement] = [
        ("csq_events_total", (EVENT,), 123_456_789),
        ("csq_event_age_seconds", (), [NOW - 1_500] * 100),
        ("csq_dead_letters_total", ("not_json",), 12_345),
        ("csq_duplicates_total", (), 123_456),
        ("csq_late_events_total", (), 12_345),
        ("csq_state_entries", ("customers",), ("p0/0", 1_234_567)),
        ("csq_simulated", (), 1),
    ]
    for number in range(queues):
        queue = f"queue-{number:02}"
        measured += [
            ("csq_conversations_open", (queue,), 1_000 + number),
            ("csq_open_waits", (queue,), 100 + number),
            ("csq_oldest_open_wait_seconds", (queue,), 36_000),
            ("csq_reply_smoothed_seconds", (queue, "chat"), 36_000),
            ("csq_reply_forecast_seconds", (queue, "900", "median"), 36_000),
            ("csq_reply_forecast_seconds", (queue, "900", "upper"), 36_000),
            ("csq_reply_rounds_total", (queue, "chat", "met", "human"), 3),
            ("csq_agents", (queue, "busy"), 300),
        ]
    measured += [("csq_turns_total", ("queue-00", "chat", language, "neutral"), 4_000) for language in LANGUAGES]
    measured += [("csq_model_examples_total", (model,), 1_000_000) for model in MODELS]
    shop.observer.record(measured)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 25), (100, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("queues", [4, 20])
def test_the_view_fits_its_terminal(width: int, height: int, queues: int) -> None:
    shop = Shop(tuple(f"queue-{number:02}" for number in range(queues)), MODELS)
    before = shop.read(0)
    open_demo(shop, queues)
    shown = lines(show(shop.read(60), minute=before), width, height)
    assert max(map(len, shown)) <= min(width, 100)
    assert not any("…" in line for line in shown)
    assert len(shown) < height  # the prompt has a line
    for start in ("Simulated data", "csq", "queue-", "Sentiment", "Satisfaction", "At risk", *MODELS):
        assert any(line.strip().startswith(start) for line in shown), start


def test_where_queues_do_not_fit_those_with_the_most_waits_are_shown() -> None:
    shop = Shop(tuple(f"queue-{number:02}" for number in range(20)), MODELS)
    open_demo(shop, 20)
    now = shop.read(60)
    shown = [line.split()[0] for line in lines(show(now), 80, 24) if line.startswith("queue-")]
    assert shown == [f"queue-{number:02}" for number in range(20 - len(shown), 20)]
    assert row(show(now), f"{20 - len(shown)} more", 80, 24) == [f"{20 - len(shown)}", "more"]
    assert not any("more" in line for line in lines(show(now), 80, 60))


def test_where_there_is_room_rules_part_the_view(shop: Shop) -> None:
    assert not any("─" in line for line in lines(show(shop.read(0)), 80, 18))
    assert sum("─" in line for line in lines(show(shop.read(0)), 80, 30)) == 7


def test_every_sample_that_is_shown_is_in_the_catalogue() -> None:
    suffixes = ("_bucket", "_sum", "_count")
    families = {name.removesuffix(suffix) for name in SHOWN for suffix in suffixes if name.endswith(suffix)}
    assert {name for name in SHOWN if not name.endswith(suffixes)} | families <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {"1.0": 0, "2.0": 10, "+Inf": 10}, 2.0),
        (0.5, {"1.0": 5, "2.0": 10, "+Inf": 10}, 1.0),
        (0.99, {"1.0": 5, "+Inf": 10}, math.inf),
        (0.5, {"1.0": 0, "+Inf": 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_lies_below_the_bound_of_its_bucket(
    q: float, buckets: dict[str, float], expected: float | None
) -> None:
    assert bound_of(q, {(bound,): count for bound, count in buckets.items()}) == expected


def test_no_age_is_shown_that_no_event_has(shop: Shop) -> None:
    """The demo begins with 25 minutes of past: interpolated between 5 minutes and an hour, its p99 was 59 minutes."""
    before = shop.read(0)
    shop.observer.record([("csq_event_age_seconds", (), [NOW - second for second in range(1_500)])])
    assert row(show(shop.read(60), minute=before), "<1h")[:5] == ["<1h", "age", "p50", "<1h", "p99"]


def test_an_age_beyond_the_last_bound_is_above_it() -> None:
    assert below({("1.0",): 0, ("3600.0",): 0, ("+Inf",): 1}, 0.5) == ">1h"
    assert below({}, 0.5) == "-"


def test_the_live_view_draws_until_it_is_stopped(shop: Shop) -> None:
    written = io.StringIO()
    view = LiveView(shop.registry, URLS, Console(file=written, force_terminal=True, width=100))
    view.start()
    end = time.monotonic() + 5
    while "/metrics" not in written.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    shop.observer.record([("csq_events_total", (EVENT,), 424_242)])
    view.stop()
    assert "424,242" in written.getvalue()


def test_the_age_of_the_newest_event_is_measured_by_the_given_clock(shop: Shop) -> None:
    shop.observer.record([("csq_event_age_seconds", (), [NOW])])
    view = LiveView(shop.registry, URLS, Console(file=io.StringIO()), clock=lambda: NOW + 90.0)
    assert "1m 30s since the newest" in "\n".join(lines(view.draw()))


def test_a_picture_can_be_saved(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "view.svg"
    save_svg(path, show(shop.read(0)))
    assert path.read_text(encoding="utf-8").startswith("<svg")
    assert "Queues" in path.read_text(encoding="utf-8")


def test_queues_in_other_are_named_as_long_as_replies_are_counted_there() -> None:
    seen = {"queue": {"Returns EU": 12, "VIP": 30}, "channel": {"fax": 3}, "segment": {}}

    def shown(queue: str) -> str:
        now = ViewReading(1.0, {"csq_reply_seconds_count": {(queue, "chat", "human"): 267.0}})
        return "\n".join(lines(render(now, now, now, URLS, seen)))

    assert "queue `other`: 267 of 267 replies; seen: VIP, Returns EU; name them in labels.queues" in shown("other")
    assert "VIP" not in shown("orders")
