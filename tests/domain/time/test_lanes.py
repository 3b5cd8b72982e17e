"""An entity has one lane, in every process and release."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.domain.time.lanes import Lanes

IDS = ["c1", "k-77", "客户 9", "x" * 128]


@given(st.text(min_size=1, max_size=128).filter(str.isprintable), st.integers(1, 256))
def test_every_id_has_one_of_the_lanes_and_always_the_same(entity_id: str, count: int) -> None:
    lanes = Lanes(count)
    assert lanes.of(entity_id) in lanes.names
    assert lanes.of(entity_id) == Lanes(count).of(entity_id)
    assert lanes.of_bytes(entity_id.encode()) == lanes.of(entity_id)


def test_the_names_of_lanes_sort_as_their_numbers_do() -> None:
    assert list(Lanes(200).names) == sorted(Lanes(200).names)
    assert len(set(Lanes(64).names)) == 64


def test_the_lanes_of_a_stored_state_never_move() -> None:
    assert [Lanes(64).of(entity_id) for entity_id in IDS] == ["33", "22", "46", "55"]  # crc32, by hand


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_with_another_hash_seed_deals_the_same_lanes(seed: str) -> None:
    program = f"from operators.domain.time.lanes import Lanes; print([Lanes(64).of(i) for i in {IDS!r}])"
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert str([Lanes(64).of(entity_id) for entity_id in IDS]) == done.stdout.strip()


def test_many_entities_spread_evenly() -> None:
    lanes = Lanes(8)
    dealt = [lanes.of(f"conversation-{n}") for n in range(8_000)]
    assert all(800 < dealt.count(name) < 1_200 for name in lanes.names)
