"""With any input: nothing crashes, nothing is lost, memory stays bounded, and no input takes long."""

import importlib
import pkgutil
import random
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import thread_time

import pytest

from bench import hostile
from bench.hostile import LIMIT_SECONDS, HostileRun, Report, Way, lines, small
from bench.hostile_inputs import CANARY, KINDS, Hostile
from bench.hostile_texts import BOMBS, MOST, any_text, bomb
from operators import domain
from operators.domain.stage.intake import Intake
from operators.domain.text.clean import _LONG_WAY, RAW_LIMIT, clean, clean_many
from operators.domain.text.vectorize import VectorizeParams, Vectorizer
from operators.domain.wire.events import TYPES
from tests.streams import NOW, SETTINGS, run

BUSY = 3.0
"""What a machine that runs other tests too may add to a limit."""
START = 1_767_603_600.0
PATTERNS = {
    f"{module.name.rpartition('.')[2]}.{name}": value
    for module in pkgutil.walk_packages(domain.__path__, "operators.domain.")
    for name, value in vars(importlib.import_module(module.name)).items()
    if isinstance(value, re.Pattern)
}


def ok(report: Report) -> None:
    assert report.wrong == [], "\n".join(lines(report))
    assert report.balanced()
    for what in (
        "event",
        "repeat",
        "tombstone",
        "not_json",
        "invalid_field",
        "too_large",
        "too_deep",
        "unknown_type",
        "too_old",
    ):
        assert report.became[what], f"nothing became {what}: the inputs are not as hostile as they should be"


def test_sixteen_thousand_hostile_inputs_do_no_harm() -> None:
    ok(HostileRun(3, SETTINGS, LIMIT_SECONDS * BUSY).run(16_000))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_hostile_inputs_do_no_harm() -> None:
    ok(HostileRun(4, SETTINGS, LIMIT_SECONDS * BUSY).run(100_000))


def test_hostile_inputs_go_through_the_flow_as_well() -> None:
    values = [one.value for one in Hostile(5).make(3_000, lambda: START)]
    counted = run({"hostile": values}, now=NOW).values

    def total(name: str) -> float:
        return sum(counted[name].values())

    tombstones = values.count(None)
    assert (
        total("csq_events_total") + total("csq_duplicates_total") + total("csq_dead_letters_total") + tombstones
        == 3_000
    )
    for name in ("csq_stage_failures_total", "csq_refused_measurements_total"):
        assert total(name) == 0, name


def test_a_crash_is_noticed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    arrive = Intake.arrive

    def crash(self: Intake, items: list[tuple[bytes, str, int]], now: float, held: list[object]) -> None:
        if any(position == 40 for _, _, position in items):
            raise ZeroDivisionError("as if")
        arrive(self, items, now, held)

    monkeypatch.setattr(Intake, "arrive", crash)
    report = HostileRun(1).run(64)
    assert any("ZeroDivisionError: as if" in text for text in report.wrong)
    assert report.became["crash"] == 16


def test_what_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    arrive = Intake.arrive
    monkeypatch.setattr(Intake, "arrive", lambda self, items, now, held: arrive(self, items[1:], now, held))
    assert not HostileRun(1).run(64).balanced()


def test_a_slow_input_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "TRIES", 1)
    monkeypatch.setattr(hostile, "ROUNDS", 1)
    report = HostileRun(1, limit_seconds=1e-6).run(16)
    assert any(re.search(r"input \d+ \(\w+\) takes \d+\.\d ms", text) for text in report.wrong)


def test_the_inputs_are_of_every_kind_and_type_and_the_same_each_time() -> None:
    inputs = list(Hostile(9).make(4_000, lambda: START))
    assert inputs == list(Hostile(9).make(4_000, lambda: START))
    assert {one.kind for one in inputs} == KINDS.keys()
    known = b"".join(one.value for one in inputs if one.kind == "plain" and one.value)
    assert {kind for kind in TYPES if kind.encode() in known} == set(TYPES)
    assert any(one.value is None for one in inputs)
    assert sum(CANARY.encode() in (one.value or b"") for one in inputs) > 2_000


def test_tables_of_a_run_are_small_enough_to_be_full() -> None:
    stages = {stage.name: stage for stage in Way(small(SETTINGS))._bare.lane_stages()}
    assert stages["intake"].limit() <= 5_000
    assert stages["conversations"].limit() <= stages["customers"].limit() <= 2_000


# ---- each pattern against each bomb


def _all(pattern: re.Pattern, text: str | bytes) -> int:
    return sum(1 for _ in pattern.finditer(text))


def fastest(call: Callable[[], object]) -> float:
    """CPU seconds, at best of a few times."""
    times = []
    for _ in range(4):
        began = thread_time()
        call()
        times.append(thread_time() - began)
        if times[-1] < LIMIT_SECONDS / 2:
            break
    return min(times)


@pytest.mark.parametrize("name", PATTERNS)
def test_no_text_makes_a_pattern_slow(name: str) -> None:
    pattern = PATTERNS[name]
    slow = {}
    for which, parts in enumerate(BOMBS):
        text = bomb(which, MOST)[:RAW_LIMIT]
        subject = text.encode()[:RAW_LIMIT] if isinstance(pattern.pattern, bytes) else text
        seconds = fastest(partial(_all, pattern, subject))
        if seconds > LIMIT_SECONDS * BUSY:
            slow[parts] = seconds
    assert slow == {}


def test_every_pattern_of_the_domain_is_among_them() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(domain.__path__[0]).rglob("*.py"))
    assert len(PATTERNS) >= source.count("= re.compile(") > 10


@pytest.mark.parametrize("size", [4_000, 12_000, MOST])
def test_no_text_is_cleaned_slowly(size: int) -> None:
    slow = {}
    for which, parts in enumerate(BOMBS):
        text = bomb(which, size)
        seconds = fastest(partial(clean, text))
        if seconds > LIMIT_SECONDS * BUSY:
            slow[parts] = seconds
    assert slow == {}


@pytest.mark.parametrize("unit", ["1234 ", "\u0e44\u0e01", "\u4e0d\u597d", "a ", "&", "a@b "])
def test_a_batch_of_the_longest_texts_needs_no_more_than_a_few_of_them(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectorizer = Vectorizer(VectorizeParams())
    longest: list[int] = []
    some = vectorizer._some
    monkeypatch.setattr(
        vectorizer, "_some", lambda texts, *others: longest.append(sum(map(len, texts))) or some(texts, *others)
    )
    texts = clean_many([(unit * 4_000)[:4_000]] * 140)

    vectors = vectorizer.vectorize_many(texts, [None] * 140)

    assert len(vectors) == 140
    assert max(longest) <= 1 << 19
    assert len({tuple(vector) for vector in vectors}) == 1, "the same text, the same vector, wherever the batch is cut"


def test_every_character_that_normalising_makes_large_or_a_mark_is_taken_care_of() -> None:
    missing = []
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        sign = chr(code)
        folded = unicodedata.normalize("NFKC", sign)
        if code not in _LONG_WAY and (len(folded) > 1 or unicodedata.combining(folded) > unicodedata.combining(sign)):
            missing.append(hex(code))
    assert missing == []


def test_a_hostile_text_is_cleaned_to_the_same_twice() -> None:
    for seed in range(200):
        rng = random.Random(seed)  # noqa: S311 - chance, not a secret
        once = clean(any_text(rng, rng.choice((30, 600, 5_000))))
        assert clean(once) == once, seed
