"""View: what a terminal shows while the flow runs. Reads the registry twice a second, and nothing else.

`render` is a pure function of three readings (now, a moment ago, a minute ago), so that rates and mixes are differences
of counters, exactly as Prometheus would take them.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Table
from rich.text import Text

from operators.domain.stage.labels import OTHER
from operators.metrics.observe import Labels, Values, read
from operators.metrics.other_names import lines, shares

UPDATE_SECONDS = 0.5
RATE_SECONDS, MIX_SECONDS = 5.0, 60.0
"""Over how long rates (events/s) and mixes (sentiment, ages, satisfaction) are taken."""
HORIZON = "900"
"""Seconds: the forecast that is shown."""
WIDTH = 100
"""Columns at most; 80 are enough."""
LINES = 40
"""Of a saved picture; 24 are enough."""
MOODS = (("negative", "red"), ("neutral", "dim"), ("positive", "green"))
BAR = 24
"""Columns of a sentiment bar."""
ABSENT = "-"
"""What is shown where nothing has been measured."""

SHOWN = frozenset(
    {
        "csq_events_total",
        "csq_duplicates_total",
        "csq_late_events_total",
        "csq_dead_letters_total",
        "csq_newest_event_timestamp_seconds",
        "csq_event_age_seconds_bucket",
        "csq_simulated",
        "csq_state_entries",
        "csq_open_waits",
        "csq_oldest_open_wait_seconds",
        "csq_conversations_open",
        "csq_reply_rounds_total",
        "csq_reply_seconds_count",
        "csq_reply_smoothed_seconds",
        "csq_reply_forecast_seconds",
        "csq_agents",
        "csq_turns_total",
        "csq_satisfaction_score_sum",
        "csq_satisfaction_score_count",
        "csq_customers_at_risk",
        "csq_model_examples_total",
        "csq_model_accuracy",
        "csq_model_auc",
        "csq_model_loss",
        "csq_model_calibration_error",
    }
)
"""The samples that the view looks at; the others are not kept for a minute."""


Seen = Mapping[str, Mapping[str, int]]
"""Label -> name measured as `other` -> events with it."""
NOTHING_SEEN: Seen = {}


class ViewReading(NamedTuple):
    """The values of a registry at a moment (POSIX seconds)."""

    at: float
    values: Values


class _Change:
    """What was added between two readings."""

    def __init__(self, now: ViewReading, before: ViewReading) -> None:
        self._now, self._before = now.values, before.values
        self.seconds = now.at - before.at

    def of(self, name: str) -> dict[Labels, float]:
        old = self._before.get(name, {})
        return {labels: value - old.get(labels, 0.0) for labels, value in self._now.get(name, {}).items()}

    def total(self, name: str) -> float:
        return sum(self.of(name).values())

    def rate(self, name: str) -> float | None:
        return self.total(name) / self.seconds if self.seconds > 0 else None

    def mean(self, histogram: str) -> float | None:
        count = self.total(f"{histogram}_count")
        return self.total(f"{histogram}_sum") / count if count > 0 else None


def bound_of(q: float, buckets: Mapping[Labels, float]) -> float | None:
    """The upper bound of the bucket of a quantile, from cumulative buckets (bound last in the labels).

    `inf` beyond the last bound, `None` without observations. It does not interpolate: between bounds of 5 minutes and
    an hour the result would be an age that no event has.

    >>> bound_of(0.5, {("1.0",): 10, ("2.0",): 30, ("+Inf",): 30})
    2.0
    >>> bound_of(0.5, {("+Inf",): 0}) is None
    True
    """
    cumulative = sorted((float(labels[-1]), count) for labels, count in buckets.items())
    if not cumulative or cumulative[-1][1] <= 0:
        return None
    return next(bound for bound, count in cumulative if count >= q * cumulative[-1][1])


def below(buckets: Mapping[Labels, float], q: float) -> str:
    """Write what a quantile of durations does not pass.

    >>> below({("0.25",): 99, ("300.0",): 100, ("+Inf",): 100}, 0.99), below({("300.0",): 0, ("+Inf",): 1}, 0.5)
    ('<250ms', '>5m')
    """
    bound = bound_of(q, buckets)
    if bound is None:
        return ABSENT
    if math.isinf(bound):
        return f">{_brief(max(float(labels[-1]) for labels in buckets if labels[-1] != '+Inf'))}"
    return f"<{_brief(bound)}"


def _brief(seconds: float) -> str:
    """Leave out what is zero behind the first unit."""
    return span(seconds).replace(".0s", "s").removesuffix(" 00s").removesuffix(" 00m")


def span(seconds: float | None) -> str:
    """Write a duration in the two units that matter.

    >>> span(0.0123), span(4.26), span(75), span(3725), span(100_000), span(None)
    ('12ms', '4.3s', '1m 15s', '1h 02m', '1d 3h', '-')
    """
    if seconds is None:
        return ABSENT
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:  # noqa: PLR2004 below ten, a tenth is worth a column
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def _number(value: float | None, form: str = ",.0f") -> str:
    return ABSENT if value is None else format(value, form)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole > 0 else ABSENT


def _by_first(values: Mapping[Labels, float]) -> dict[str, dict[Labels, float]]:
    """Group by the first label."""
    groups: dict[str, dict[Labels, float]] = {}
    for (first, *others), value in values.items():
        groups.setdefault(first, {})[tuple(others)] = value
    return groups


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 0, 0, 2), header_style="dim", pad_edge=False)
    table.add_column(Text(title, "bold not dim"), no_wrap=True, ratio=1, min_width=len(title))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, min_width=max(6, len(column)))
    return table


def _facts(pairs: Iterable[tuple[str, str, str]]) -> Text:
    """Write facts in a line: value, unit, style of the value."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for value, unit, style in pairs:
        line.append(f"{'  ' if line else ''}{value}", style)
        line.append(f" {unit}", "dim")
    return line


def _head(now: ViewReading, recent: _Change, minute: _Change) -> RenderableType:
    values = now.values
    newest = next(iter(values.get("csq_newest_event_timestamp_seconds", {}).values()), None)
    ages = minute.of("csq_event_age_seconds_bucket")

    def total(name: str) -> float:
        return sum(values.get(name, {}).values())

    dead = total("csq_dead_letters_total")
    flowing = _facts(
        (
            (_number(recent.rate("csq_events_total")), "events/s", "bold cyan"),
            (_number(total("csq_events_total")), "events", "bold"),
            (span(None if newest is None else max(now.at - newest, 0.0)), "since the newest", "bold"),
            (_number(total("csq_state_entries")), "records", "bold"),
        )
    )
    counted = _facts(
        (
            (below(ages, 0.5), "age p50", "bold"),
            (below(ages, 0.99), "p99", "bold"),
            (_number(dead), "dead letters", "bold yellow" if dead else "bold"),
            (_number(total("csq_duplicates_total")), "duplicates", "bold"),
            (_number(total("csq_late_events_total")), "late", "bold"),
        )
    )
    return Group(flowing, counted)


def _forecast(now: Values, queue: str, bound: str) -> str:
    return span(now.get("csq_reply_forecast_seconds", {}).get((queue, HORIZON, bound)))


def _smoothed(now: Values, queue: str) -> float | None:
    """Mean over the channels of a queue, each by how many replies it has had."""
    replies = now.get("csq_reply_seconds_count", {})
    smoothed = _by_first(now.get("csq_reply_smoothed_seconds", {})).get(queue, {})
    weights = {channel: replies.get((queue, *channel, "human"), 0.0) for channel in smoothed}
    whole = sum(weights.values())
    if whole > 0:
        return sum(value * weights[channel] for channel, value in smoothed.items()) / whole
    return sum(smoothed.values()) / len(smoothed) if smoothed else None


def _queues(now: Values, most: int) -> Table:
    """Draw `most` lines for queues at most: those with the most waits, and how many more there are."""
    table = _table("Queues", "open", "waiting", "oldest", "reply", "in 15 min", "up to", "in time", "agents")
    names = _queue_names(now)
    shown = names
    if len(names) > most:
        waits, conversations = now.get("csq_open_waits", {}), now.get("csq_conversations_open", {})
        busiest = sorted(names, key=lambda name: (waits.get((name,), 0.0), conversations.get((name,), 0.0)))
        shown = sorted(busiest[len(names) - most + 1 :])
    for queue in shown:
        table.add_row(queue, *_of_queue(now, queue))
    if len(shown) < len(names):
        table.add_row(Text(f"{len(names) - len(shown)} more", "dim"))
    return table


def _queue_names(now: Values) -> list[str]:
    """Every queue; `other` only if it has events."""
    names = {name for (name,) in (*now.get("csq_open_waits", {}), *now.get("csq_conversations_open", {}))}
    rounds = _by_first(now.get("csq_reply_rounds_total", {}))
    if not (now.get("csq_open_waits", {}).get((OTHER,)) or sum(rounds.get(OTHER, {}).values())):
        names.discard(OTHER)
    return sorted(names)


def _of_queue(now: Values, queue: str) -> Iterator[str | Text]:
    """Write the columns of a queue."""
    waiting = now.get("csq_open_waits", {}).get((queue,), 0.0)
    rounds, agents = (_by_first(now.get(name, {})).get(queue, {}) for name in ("csq_reply_rounds_total", "csq_agents"))
    yield _number(now.get("csq_conversations_open", {}).get((queue,)))
    yield Text(_number(waiting), "bold" if waiting else "")
    yield span(now.get("csq_oldest_open_wait_seconds", {}).get((queue,)) if waiting else None)
    yield span(_smoothed(now, queue))
    yield _forecast(now, queue, "median")
    yield _forecast(now, queue, "upper")
    ours = [(outcome, value) for (_, outcome, responder), value in rounds.items() if responder == "human"]
    yield _share(sum(value for outcome, value in ours if outcome == "met"), sum(value for _, value in ours))
    yield _number(sum(value for (state,), value in agents.items() if state in {"available", "busy"}))


def _bar(shares: Sequence[tuple[float, str]]) -> Text:
    """A thin bar of coloured parts; the ends of the parts are rounded, so their sum is always `BAR`."""
    bar, done, drawn = Text(), 0.0, 0
    for share, style in shares:
        done += share
        end = round(done * BAR)
        bar.append("━" * (end - drawn), style)
        drawn = end
    return bar


def _moods(minute: _Change) -> Table:
    table = _table("Sentiment, last minute", "messages", "negative", "neutral", "positive")
    counts: dict[str, dict[str, float]] = {}
    for (_, _, language, sentiment), value in minute.of("csq_turns_total").items():
        mood = counts.setdefault(language, {})
        mood[sentiment] = mood.get(sentiment, 0.0) + value
    for language, mood in sorted(counts.items()):
        whole = sum(mood.values())
        if whole > 0:
            name = Text(f"{language:<6}")
            name.append_text(_bar([(mood.get(sentiment, 0.0) / whole, style) for sentiment, style in MOODS]))
            table.add_row(name, _number(whole), *(_share(mood.get(sentiment, 0.0), whole) for sentiment, _ in MOODS))
    return table


def _customers(now: Values, minute: _Change, ever: _Change) -> RenderableType:
    means = (reach.mean("csq_satisfaction_score") for reach in (minute, ever))
    satisfied = zip((_number(mean, ".2f") for mean in means), ("of 5, last minute", "since the start"), strict=True)
    at_risk = {segment: value for (segment,), value in sorted(now.get("csq_customers_at_risk", {}).items())}
    leaving = [(_number(sum(at_risk.values()) if at_risk else None), "customers", "bold")]
    leaving += [(_number(value), segment, "") for segment, value in at_risk.items() if value]
    lines = Table.grid(padding=(0, 2))
    lines.add_row(Text("Satisfaction", "bold"), _facts((value, unit, "bold") for value, unit in satisfied))
    lines.add_row(Text("At risk", "bold"), _facts(leaving))
    return lines


def _models(now: Values) -> Table:
    measures = ("accuracy", "auc", "loss", "calibration_error")
    table = _table("Models", "examples", "accuracy", "AUC", "loss", "calibration")
    for labels, examples in sorted(now.get("csq_model_examples_total", {}).items()):
        figures = (_number(now.get(f"csq_model_{measure}", {}).get(labels), ".3f") for measure in measures)
        table.add_row(labels[0], _number(examples), *figures)
    return table


_SIMULATED = Text(
    "Simulated data: no brokers are set, these customers are invented", "bold yellow", no_wrap=True, overflow="ellipsis"
)


def _addresses(urls: Mapping[str, str]) -> Text:
    """Write the first address in full and the different part of the others, each as a link."""
    line = Text("csq", "bold", no_wrap=True, overflow="ellipsis")
    base = ""
    for url in urls.values():
        line.append("  ").append(url.removeprefix(base), f"not bold link {url}")
        base = url.rpartition("/")[0]
    return line


class View:
    """The parts of the view, one below the other, in as many lines as the console has.

    Rules between the parts go first where room is short, then queues.
    """

    def __init__(self, values: Values, above: Sequence[RenderableType], below: Sequence[RenderableType]) -> None:
        self._values = values
        self._above, self._below = above, below

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it for this console."""
        options = options.update(width=min(options.max_width, WIDTH), height=None)
        others = [*self._above, *self._below]
        taken = sum(len(console.render_lines(part, options)) for part in others)
        # One line for the heading of the queues, one for the prompt below the view.
        room = console.height - taken - 2
        rules = len(others) + 2
        ruled = room - len(_queue_names(self._values)) >= rules
        view = Table(box=box.HORIZONTALS if ruled else None, show_header=False, expand=True, show_lines=ruled)
        view.border_style, view.padding = "dim", 0
        view.add_column(ratio=1)
        for part in (*self._above, _queues(self._values, max(room, 1)), *self._below):
            view.add_row(part)
        yield Constrain(view, WIDTH)


def render(
    now: ViewReading, recent: ViewReading, minute: ViewReading, urls: Mapping[str, str], seen: Seen = NOTHING_SEEN
) -> RenderableType:
    """Draw the view.

    Args:
        now: the values at this moment.
        recent: those of some seconds ago.
        minute: those of a minute ago.
        urls: names and addresses to open.
        seen: label -> names measured as `other` -> events with them.
    """
    start = ViewReading(0.0, {})
    past_minute = _Change(now, minute)
    marked = any(now.values.get("csq_simulated", {}).values())
    title = Group(_SIMULATED, _addresses(urls)) if marked else _addresses(urls)
    above = (
        title,
        _head(now, _Change(now, recent), past_minute),
        *(Text(line, "yellow", no_wrap=True, overflow="ellipsis") for line in _other_names(now.values, seen)),
    )
    below = (_moods(past_minute), _customers(now.values, past_minute, _Change(now, start)), _models(now.values))
    return View(now.values, above, below)


def _other_names(now: Values, seen: Seen) -> Iterable[str]:
    """A line for the queues that are measured as `other`, as long as that is where replies are counted."""
    return lines({"queue": seen.get("queue", {})}, shares(now.get("csq_reply_seconds_count", {})))


class LiveView:
    """Draws the view twice a second from a thread of its own, between `start` and `stop`.

    Args:
        registry: the metrics that it shows.
        urls: names and addresses to open.
        console: where it draws; by default standard output.
        seen: label -> names measured as `other` -> events with them.
        clock: POSIX seconds; that of the flow, so that ages agree with its metrics.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        urls: Mapping[str, str],
        console: Console | None = None,
        seen: Callable[[], Seen] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry, self._urls, self._seen, self._clock = registry, urls, seen, clock
        self._readings: deque[ViewReading] = deque(maxlen=round(MIX_SECONDS / UPDATE_SECONDS) + 1)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="csq-view", daemon=True)

    def draw(self) -> RenderableType:
        """Take a reading and draw it."""
        now = ViewReading(self._clock(), read(self._registry, SHOWN))
        self._readings.append(now)
        recent = self._readings[max(0, len(self._readings) - 1 - round(RATE_SECONDS / UPDATE_SECONDS))]
        return render(now, recent, self._readings[0], self._urls, self._seen())

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()
        self._thread.start()

    def stop(self) -> None:
        """Draw the last state, which stays on the terminal."""
        self._stopping.set()
        self._thread.join()
        self._live.update(self.draw(), refresh=True)
        self._live.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._live.update(self.draw(), refresh=True)
            self._stopping.wait(UPDATE_SECONDS)


def save_svg(path: Path, renderable: RenderableType, title: str = "csq run") -> None:
    """Write what a terminal would show as a picture."""
    console = Console(
        record=True, width=WIDTH, height=LINES, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(renderable)
    path.write_text(console.export_svg(title=title), encoding="utf-8")
