"""The worked examples of docs/definitions.md: events in their order, then all that is measured of the metrics they name."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.settings.load import load
from operators.domain.conversations.stage import Conversations, ConversationsParams
from operators.domain.stage.promise import Promises, PromisesParams
from operators.domain.time.calendars import Calendar, CalendarParams
from operators.domain.time.lanes import Lanes
from operators.metrics.catalogue import CATALOGUE
from tests.builders import AT_ONCE, NAMES, play, say, step

PAGE = (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```example\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CALENDARS = {"office": CalendarParams("UTC", {"mon-fri": ("08:00-17:00",)})}
WRITERS = ("customer", "agent", "bot")
DAY = 86_400.0


def event(line: str) -> tuple[float, Any]:
    """An event of the example, and its time."""
    line, _, text = line.partition(' "')
    date, clock, what, *outcome = line.split()
    time = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC).timestamp()
    words = text.removesuffix('"') or "..."
    return time, say(what, time, text=words) if what in WRITERS else step(
        what, time, outcome=outcome[0] if outcome else None
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_a_worked_example_is_what_is_measured(example: str) -> None:
    lines = example.splitlines()
    calendar = lines.pop(0).split()[1] if lines[0].startswith("calendar") else "always"
    steps = [event(line) for line in lines if line[0].isdigit()]
    expected: defaultdict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for line in lines[len(steps) :]:
        metric, *labels, value = line.split()
        expected[metric].append((tuple(labels), float(value)))

    params = PromisesParams(calendar=calendar, calendars=CALENDARS)
    promises = Promises(params, {name: Calendar(params) for name, params in CALENDARS.items()})
    stage = Conversations(ConversationsParams(), NAMES, promises, Lanes(8), lambda **_: (None, {}), feedback=AT_ONCE)
    seen = play(stage, [made for _, made in steps], steps[-1][0] + DAY)

    for metric, values in expected.items():
        found = seen.count(metric) if metric.endswith("_total") else seen.sampled(metric)
        shown = [
            (labels[2:], each)
            for labels, value in found.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        assert sorted(shown) == sorted(values), metric


def test_there_are_examples_and_they_name_metrics() -> None:
    assert len(EXAMPLES) >= 8
    named = set(re.findall(r"csq_[a-z_]+", PAGE))
    assert named <= CATALOGUE.keys()


def test_the_calendar_of_the_page_is_read(tmp_path: Path) -> None:
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "csq.yaml"
    path.write_text(settings)
    office = Calendar(load(path, {}).promises.calendars["office"])

    def hours(date: str) -> float:
        begin = datetime.fromisoformat(f"{date}T00:00+01:00").timestamp()
        return office.seconds(begin, begin + DAY) / 3600

    assert [hours(f"2026-12-{day}") for day in (21, 24, 25, 26, 28)] == [8.0, 3.0, 0.0, 0.0, 8.0]
