"""The settings of librdkafka: each of the library's own is open or closed, and what is closed is refused."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import msgspec
import pytest

from operators.connectors.kafka.librdkafka import BOUNDS, CLOSED, OPEN, SECURITY, refusals
from operators.connectors.kafka.params import KafkaParams

[LIBRARY] = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*")


def names_of_the_library(path: Path) -> Iterator[str]:
    """Every setting that the installed librdkafka documents, by its own list."""
    library, system = ctypes.CDLL(str(LIBRARY)), ctypes.CDLL(None)
    system.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(system.fopen(os.fsencode(path), b"w"))
    library.rd_kafka_conf_properties_show(file)
    system.fclose(file)
    for line in path.read_text().splitlines():
        name, *columns = (column.strip() for column in line.split("|"))
        if columns and name != "Property" and not name.startswith("-"):
            yield name


def test_each_setting_of_the_installed_library_is_open_or_closed_and_not_both(tmp_path: Path) -> None:
    names = {name for name in names_of_the_library(tmp_path / "list") if not name.startswith(SECURITY)}
    assert len(names) > 120
    assert names - OPEN - CLOSED.keys() == set()
    assert not OPEN & CLOSED.keys()
    assert names >= OPEN
    assert BOUNDS.keys() <= OPEN


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_a_closed_setting_is_refused_by_name_with_the_reason(name: str) -> None:
    with pytest.raises(ValueError, match=rf"kafka\.librdkafka: {name} cannot be set.*: .*; (set .* instead|remove it)"):
        KafkaParams(librdkafka={name: "1"})


def test_a_setting_that_the_library_does_not_document_is_refused() -> None:
    [mistake] = refusals({"test.mock.num.brokers": 1})
    assert mistake.text == (
        "kafka.librdkafka: test.mock.num.brokers: csq allows no such setting; docs/settings.md lists what may be set"
    )


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_bounded_setting_is_refused_just_outside_and_taken_at_the_bounds(name: str) -> None:
    low, high, _ = BOUNDS[name]
    assert not list(refusals({name: low})) + list(refusals({name: str(high)}))
    for value in (low - 1, high + 1, str(high + 1)):
        [mistake] = refusals({name: value})
        assert mistake.text.startswith(f"kafka.librdkafka: {name}: got {value}, expected {low} to {high}: ")


def test_what_is_open_reaches_the_client_and_a_private_key_is_not_repeated() -> None:
    params = msgspec.json.decode(b'{"librdkafka": {"linger.ms": 20, "client.id": "csq-eu"}}', type=KafkaParams)
    assert params.client_config({})["linger.ms"] == 20
    [mistake] = refusals({"ssl_key": "PRIVATE"})
    assert "PRIVATE" not in mistake.text
