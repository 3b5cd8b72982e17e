"""The live view shows the numbers of the registry, and rates that are differences."""

import io
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console, RenderableType

from flows.commands.run.view import SHOWN, LiveView, Reading, quantile, render, save_svg
from operators.metrics.catalogue import CATALOGUE, ClosedSets
from operators.metrics.observe import Observer, read

URLS = {"metrics": "http://127.0.0.1:9464/metrics", "healthz": "http://127.0.0.1:9464/healthz"}
NOW = 1_700_000_000.0
EVENT = "csq.message.created"


class Shop:
    """A registry with something in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        sets = ClosedSets(
            queue=("orders", "returns"),
            channel=("chat", "email"),
            segment=("new", "vip"),
            model=("churn", "sentiment/en"),
        )
        self.observer = Observer(self.registry, sets, clock=lambda: NOW, strict=True)

    def read(self, at: float) -> Reading:
        return Reading(at, NOW, read(self.registry, SHOWN))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def lines(view: RenderableType, width: int = 100) -> list[str]:
    written = io.StringIO()
    Console(width=width, file=written).print(view)
    return written.getvalue().splitlines()


def row(view: RenderableType, start: str, width: int = 100) -> list[str]:
    """The words of the only line that starts so."""
    (line,) = (line for line in lines(view, width) if line.strip().startswith(start))
    return line.split()


def show(now: Reading, recent: Reading | None = None, minute: Reading | None = None) -> RenderableType:
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
    before = shop.read(0)
    shop.observer.record(
        [
            ("csq_event_age_seconds", (), [NOW - 3] * 99 + [NOW - 40]),
            ("csq_dead_letters_total", ("not_json",), 7),
            ("csq_duplicates_total", (), 12),
            ("csq_late_events_total", (), 3),
        ]
    )
    text = "\n".join(lines(show(shop.read(60), minute=before)))
    assert "3.0s since the newest" in text
    assert "3.8s age p50   5.0s age p99" in text
    assert "7 dead letters   12 duplicates   3 late" in text


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
            ("csq_reply_forecast_seconds", ("orders", "900", "mean"), 75),
            ("csq_reply_forecast_seconds", ("orders", "900", "upper"), 3725),
            ("csq_reply_forecast_seconds", ("orders", "300", "mean"), 1),
            ("csq_reply_rounds_total", ("orders", "chat", "met"), 3),
            ("csq_reply_rounds_total", ("orders", "email", "missed"), 1),
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


def test_the_addresses_are_shown(shop: Shop) -> None:
    assert all(url in "\n".join(lines(show(shop.read(0)))) for url in URLS.values())


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_view_fits_its_terminal(shop: Shop, width: int) -> None:
    shown = lines(show(shop.read(0)), width)
    assert max(map(len, shown)) <= min(width, 100)
    assert not any("…" in line for line in shown)
    assert len(shown) <= 24


def test_every_sample_that_is_shown_is_in_the_catalogue() -> None:
    suffixes = ("_bucket", "_sum", "_count")
    families = {name.removesuffix(suffix) for name in SHOWN for suffix in suffixes if name.endswith(suffix)}
    assert {name for name in SHOWN if not name.endswith(suffixes)} | families <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {"1.0": 0, "2.0": 10, "+Inf": 10}, 1.5),
        (1.0, {"1.0": 5, "2.0": 10, "+Inf": 10}, 2.0),
        (0.99, {"1.0": 5, "+Inf": 10}, 1.0),  # beyond the last bound nothing more is known
        (0.5, {"1.0": 0, "+Inf": 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_is_what_prometheus_would_say(q: float, buckets: dict[str, float], expected: float | None) -> None:
    assert quantile(q, {(bound,): count for bound, count in buckets.items()}) == expected


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


def test_a_picture_can_be_saved(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "view.svg"
    save_svg(path, show(shop.read(0)))
    assert path.read_text(encoding="utf-8").startswith("<svg")
    assert "Queues" in path.read_text(encoding="utf-8")
