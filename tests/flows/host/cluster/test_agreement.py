"""What processes must have in common: all settings but their own; no secret in what is sent or said about it."""

import json
from pathlib import Path

import msgspec
import pytest

from flows.host.cluster import agreement
from flows.host.cluster.agreement import SHOWN_CHARACTERS, SHOWN_DIFFERENCES, differences, traits_of
from flows.settings.load import load
from flows.settings.model import Settings

OWN = {"log.level", "http.host", "http.port", "http.web_config_file"}
BROKERS = {"CSQ_KAFKA__BROKERS": "['one:9092', 'two:9092']"}


def compared(*environs: dict[str, str]) -> list[str]:
    """The differences between processes with these settings."""
    return differences({f"p{n}": traits_of(load(None, BROKERS | each), 2) for n, each in enumerate(environs)})


def leaves(data: object, path: str = "") -> set[str]:
    if not isinstance(data, dict):
        return {path}
    return {leaf for key, value in data.items() for leaf in leaves(value, f"{path}.{key}".lstrip("."))}


def test_every_setting_is_compared_but_those_of_a_process():
    settings = leaves(msgspec.to_builtins(Settings()))
    assert settings > OWN
    assert set(traits_of(Settings(), 2)) & settings == settings - OWN


def test_a_difference_names_the_setting_and_both_values():
    assert compared({}, {"CSQ_STATE__LANES": "32", "CSQ_PROMISES__LIMIT_SECONDS": "1"}) == [
        "promises.limit_seconds: 180.0 in p0, 1.0 in p1",
        "state.lanes: 64 in p0, 32 in p1",
    ]


def test_processes_with_one_value_are_named_together():
    lanes = {"CSQ_STATE__LANES": "32"}
    assert compared({}, lanes, {}, lanes) == ["state.lanes: 64 in p0, p2, 32 in p1, p3"]


def test_what_is_set_in_one_process_only_is_named():
    found = compared({}, {"CSQ_PROMISES__CHANNELS": "{mail: {limit_seconds: 3600.0, grace_seconds: 60.0}}"})
    assert found == [
        "promises.channels.mail.grace_seconds: not set in p0, 60.0 in p1",
        "promises.channels.mail.limit_seconds: not set in p0, 3600.0 in p1",
    ]


@pytest.mark.parametrize(
    "own",
    [
        {"CSQ_HTTP__PORT": "1", "CSQ_HTTP__HOST": "10.0.0.1", "CSQ_HTTP__WEB_CONFIG_FILE": "w.yaml"},
        {"CSQ_LOG__LEVEL": "debug"},
        {"CSQ_KAFKA__BROKERS": "['two:9092', 'one:9092']"},
        {"CSQ_KAFKA__LIBRDKAFKA": "{client.rack: west, client.id: b}"},
        {"CSQ_KAFKA__SECURITY": "{ssl.ca.location: here/ca.pem, sasl.kerberos.keytab: here/key}"},
    ],
)
def test_what_belongs_to_a_process_may_differ(own: dict[str, str]):
    assert compared({}, own) == []


def test_the_place_of_the_store_may_differ_but_not_whether_there_is_one():
    here, there = {"CSQ_STATE__DIRECTORY": "here"}, {"CSQ_STATE__DIRECTORY": "there"}
    assert compared(here, there) == []
    assert compared(here, {}) == ['state.directory: "set" in p0, null in p1']


def secured(password: str) -> dict[str, str]:
    return {"CSQ_KAFKA__SECURITY": json.dumps({"sasl.username": "csq", "sasl.password": password})}


def test_secrets_are_compared_and_neither_sent_nor_said():
    one, other = secured("correct horse"), secured("battery staple")
    assert compared(one, one) == []
    assert compared(one, other) == ["kafka.security.sasl.password: another secret in p0 than in p1"]
    assert compared({}, one) == [
        "kafka.security.sasl.password: not set in p0, a secret in p1",
        'kafka.security.sasl.username: not set in p0, "csq" in p1',
    ]
    sent = traits_of(load(None, BROKERS | one), 2)
    assert "correct horse" not in json.dumps(sent)
    assert sent["kafka.security.sasl.username"] == '"csq"'


def test_a_known_secret_in_another_setting_is_not_sent():
    repeated = secured("correct horse") | {"CSQ_KAFKA__GROUP_ID": "csq-correct horse"}
    assert "correct horse" not in json.dumps(traits_of(load(None, BROKERS | repeated), 2))


def test_the_key_of_pseudonyms_is_compared_wherever_its_file_is(tmp_path: Path):
    def keyed(name: str, key: str) -> dict[str, str]:
        (tmp_path / name).write_text(key)
        return {"CSQ_PRIVACY__KEY_FILE": str(tmp_path / name)}

    same = keyed("here", "k" * 32), keyed("there", f"{'k' * 32}\n")
    assert compared(*same) == []
    assert compared(same[0], keyed("other", "j" * 32)) == ["privacy.key_file: another secret in p0 than in p1"]


def test_another_release_number_of_processes_or_set_of_models_is_a_difference(monkeypatch: pytest.MonkeyPatch):
    here = traits_of(Settings(), 2)
    monkeypatch.setattr(agreement, "version", lambda name: f"{name} 9")
    monkeypatch.setattr(agreement, "MODELS", {"churn": None})
    found = differences({"p0": here, "p1": traits_of(Settings(), 3)})
    names = ["models", "processes in --addresses", *(f"release of {name}" for name in ("bytewax", "csq", "river"))]
    assert [line.partition(":")[0] for line in found] == names
    assert found[1] == "processes in --addresses: 2 in p0, 3 in p1"


def test_the_text_is_bounded():
    long = differences({"p0": {"a": "x" * 1_000}, "p1": {"a": "y" * 1_000}})
    assert len(long[0]) < 2 * SHOWN_CHARACTERS + 40
    many = differences({"p0": {str(n): "1" for n in range(100)}, "p1": {}})
    assert len(many) == SHOWN_DIFFERENCES + 1
    assert many[-1] == f"and {100 - SHOWN_DIFFERENCES} more"
