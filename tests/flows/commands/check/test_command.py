"""`csq check` finds what would stop csq, says what to do, and changes nothing."""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import yaml
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from prometheus_client import CollectorRegistry

from flows.commands.check import brokers, command, machine
from flows.commands.check.retention import check_retention
from flows.commands.main import main
from flows.host.recovery import shape_of
from flows.host.web import probe
from flows.host.web.config import WebConfigFile
from flows.host.web.server import WebServer, application
from flows.settings.model import Outputs, State
from operators.connectors.embedded import EmbeddedBroker
from operators.engine.recovery import prepare
from tests.ports import deserted
from tests.servers.kafka import PASSWORD, USER, Kafka

OUTPUTS = tuple(Outputs().by_stream().values())


def checked(folder: Path, settings: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Exit code, and the findings as `status check says todo`, without the folder's name."""
    path = folder / "csq.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = CliRunner().invoke(main, ["check", "-c", str(path), "--json"])
    reported = json.loads(done.stdout)
    assert reported["ok"] == (done.exit_code == 0)
    lines = (f"{entry['status']} {entry['check']}: {entry['says']} {entry['todo']}" for entry in reported["checks"])
    return done.exit_code, [line.strip().replace(f"{folder}/", "") for line in lines]


def about(check: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.split(" ")[1] == f"{check}:"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded broker does not answer some requests, and the clock of this machine may not be synchronised."""
    monkeypatch.setattr(brokers, "ASK_SECONDS", 1.0)
    monkeypatch.setattr(probe, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(machine, "_is_disciplined", lambda: True)
    for name in [name for name in os.environ if name.startswith("CSQ_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def free_port() -> int:
    """A port that was just released, so it is free."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


# The whole.


def test_everything_in_order_is_one_ok_line_each_and_exit_0(tmp_path: Path, free_port: int) -> None:
    with EmbeddedBroker(["csq.events", *OUTPUTS]) as broker:
        Producer({"bootstrap.servers": broker.bootstrap_servers}).produce("csq.events", b"{}")
        kafka = {"brokers": [broker.bootstrap_servers], "group_id": "csq"}
        settings = {"kafka": kafka, "http": {"port": free_port}, "state": {"directory": str(tmp_path / "state")}}
        code, lines = checked(tmp_path, settings)
    assert code == 0
    assert [line.split(":")[0] for line in lines] == [
        "ok settings",
        "ok web",
        "ok port",
        "ok state",
        "ok state",
        "ok clock",
        "ok brokers",
        "ok credentials",
        "ok topic",
        "ok group",
        *["ok output"] * len(OUTPUTS),
    ]
    assert about("topic", lines)[0].startswith("ok topic: csq.events: 4 partitions, readable")
    assert not (tmp_path / "state").exists()


def test_for_a_person_each_finding_is_a_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["check"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok    settings    built-in ones, digest ")
    assert lines[3] == (
        "warn  state       state.directory is not set: a restart begins without state. Set it to a directory that survives a restart."
    )
    assert lines[-1] == (
        "warn  brokers     kafka.brokers is not set: csq run would serve the invented customers of a simulated shop. "
        "Set it, as [127.0.0.1:9092]."
    )


def test_wrong_settings_are_all_reported_and_nothing_else_is_checked(tmp_path: Path) -> None:
    code, lines = checked(tmp_path, {"http": {"prot": 1}, "state": {"lanes": 0}})
    assert code == 1
    assert [line.partition(": got")[0] for line in lines] == [
        "fail settings: csq.yaml, line 2: http.prot: unknown key; did you mean `port`? Correct it; nothing else was checked.",
        "fail settings: csq.yaml, line 4: state.lanes",
    ]


# Opening hours.

MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
WEEK = {"mon-fri": ["08:00-17:00"]}


def opening(folder: Path, monkeypatch: pytest.MonkeyPatch, **promises: Any) -> tuple[int, list[str]]:
    """The exit code, and what is said of calendars at noon of a Monday, by their names."""
    monkeypatch.setattr(command, "time", SimpleNamespace(time=MONDAY.timestamp))
    code, lines = checked(folder, json.loads(json.dumps({"promises": promises})))  # no aliases in YAML
    return code, sorted(about("calendar", lines), key=lambda line: line.split()[2])


def test_each_calendar_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calendars = {
        "office": {"zone": "Europe/Berlin", "hours": WEEK, "holidays": [{"date": "12-25/12-26"}]},
        "india": {"zone": "Asia/Kolkata", "hours": WEEK},
        "round": {"zone": "UTC", "hours": {"mon-sun": ["00:00-24:00"]}},
    }
    queues = {"orders": {"calendar": "office"}, "billing": {"calendar": "office"}, "vip": {"calendar": "round"}}
    code, lines = opening(tmp_path, monkeypatch, calendars=calendars, queues=queues, calendar="india")
    assert code == 0
    assert lines == [
        "ok calendar: india: closed, opens 2026-12-01 08:00 (Asia/Kolkata); no holidays; used by queues that name no calendar",
        "ok calendar: office: open, closes 2026-11-30 17:00 (Europe/Berlin); last holiday 2028-12-26; used by billing, orders",
        "ok calendar: round: open, does not close before the end of next year; no holidays; used by vip",
    ]


def test_a_calendar_without_a_queue_and_a_queue_that_stays_closed_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_until(last: str) -> dict[str, Any]:
        return {"zone": "UTC", "hours": WEEK, "holidays": [{"date": f"2026-11-30/{last}"}]}

    past = {"zone": "UTC", "holidays": [{"date": "2020-01-01", "hours": ["09:00-10:00"]}]}
    calendars = {"idle": {"zone": "UTC", "hours": WEEK}, "month": closed_until("2026-12-29")}
    calendars |= {"longer": closed_until("2026-12-30"), "past": past}
    queues = {name: {"calendar": name} for name in ("month", "longer", "past")}
    code, lines = opening(tmp_path, monkeypatch, calendars=calendars, queues=queues)
    assert code == 0
    todo = "It does not open within 30 days: correct its hours, holidays or file."
    name_it = "Name it in promises.calendar, or in promises.queues, or remove it."
    assert lines == [
        f"warn calendar: idle: open, closes 2026-11-30 17:00 (UTC); no holidays; no queue uses it. {name_it}",
        f"warn calendar: longer: closed, opens 2026-12-31 08:00 (UTC); last holiday 2026-12-30; used by longer. {todo}",
        "ok calendar: month: closed, opens 2026-12-30 08:00 (UTC); last holiday 2026-12-29; used by month",
        f"warn calendar: past: closed, does not open before the end of next year; no holidays; used by past. {todo}",
    ]


def test_an_icalendar_file_that_cannot_be_read_fails_and_the_others_are_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.ics").write_text("hello")
    files = {name: {"zone": "UTC", "hours": WEEK, "file": str(tmp_path / name)} for name in ("none.ics", "broken.ics")}
    calendars = {**files, "office": {"zone": "UTC", "hours": WEEK}}
    code, lines = opening(tmp_path, monkeypatch, calendars=calendars, calendar="office")
    assert code == 1
    office, broken, none = lines
    assert none == (
        "fail calendar: promises.calendars.none.ics.file: none.ics cannot be read: No such file or directory. "
        "Correct the file, or its path."
    )
    assert broken.startswith("fail calendar: promises.calendars.broken.ics.file: broken.ics is no iCalendar file: ")
    assert office.startswith("ok calendar: office: open, ")


# Kafka.


def test_a_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with deserted() as address:
        code, lines = checked(tmp_path, {"kafka": {"brokers": [address], "connect_seconds": 0.5}})
    assert code == 1
    assert lines[-1].startswith(f"fail brokers: {address}: no answer in 0.5 s: ")
    assert "Check kafka.brokers and the network" in lines[-1]


def test_settings_that_librdkafka_refuses_are_reported(tmp_path: Path) -> None:
    code, lines = checked(
        tmp_path,
        {"kafka": {"brokers": ["127.0.0.1:1"], "security": {"ssl.crl.location": "none", "security.protocol": "ssl"}}},
    )
    assert code == 1
    assert lines[-1].startswith("fail brokers: librdkafka refuses the settings: ")
    assert lines[-1].endswith("Correct kafka.security or kafka.librdkafka.")


def test_a_record_of_the_future_throws_doubt_on_the_clock(tmp_path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(days=2)
    with EmbeddedBroker(["csq.events", *OUTPUTS]) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("csq.events", b"{}", timestamp=int(ahead.timestamp() * 1000))
        producer.flush(5)
        code, lines = checked(tmp_path, {"kafka": {"brokers": [broker.bootstrap_servers]}})
    assert code == 0
    assert any(
        re.match(r"warn clock: csq\.events: the newest record is 17\d{4} s ahead of this", line) for line in lines
    )


# Web.


@pytest.fixture
def web(tmp_path: Path) -> Path:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=400))
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    path = tmp_path / "web.yaml"
    path.write_text("tls_server_config: {cert_file: server.pem, key_file: server.pem}\n")
    return path


def test_a_web_configuration_is_read_and_the_end_of_its_certificate_reported(tmp_path: Path, web: Path) -> None:
    _, lines = checked(tmp_path, {"http": {"web_config_file": str(web)}})
    assert about("web", lines)[0] == "ok web: web.yaml: no passwords, TLS"
    assert about("web", lines)[1].startswith("ok web: the certificate in server.pem ends on ")


@pytest.mark.parametrize(("days", "status", "says"), [(5, "warn", "ends on"), (-5, "fail", "has ended on")])
def test_a_certificate_that_ends_soon_is_reported(tmp_path: Path, web: Path, days: int, status: str, says: str) -> None:
    issued = trustme.CA().issue_cert(
        "127.0.0.1",
        not_before=datetime.now(UTC) - timedelta(days=30),
        not_after=datetime.now(UTC) + timedelta(days=days),
    )
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    code, lines = checked(tmp_path, {"http": {"web_config_file": str(web)}})
    assert code == (status == "fail")
    assert about("web", lines)[1].startswith(f"{status} web: the certificate in server.pem {says} ")


def test_what_is_wrong_in_a_web_configuration_is_reported(tmp_path: Path, web: Path) -> None:
    web.write_text("tls_server_config: {cert_file: none.pem, key_file: none.pem}\n")
    code, lines = checked(tmp_path, {"http": {"web_config_file": str(web)}})
    assert code == 1
    assert about("web", lines)[0].startswith(
        "fail web: web.yaml, line 1: tls_server_config.cert_file: none.pem cannot be read"
    )


def test_metrics_open_to_every_client_are_reported(tmp_path: Path) -> None:
    code, lines = checked(tmp_path, {"http": {"host": "0.0.0.0"}})  # noqa: S104 - the one that is warned of
    assert code == 0
    assert about("web", lines)[0].startswith("warn web: no http.web_config_file, and http.host is 0.0.0.0")


# Port.


def test_a_port_that_another_has_is_reported(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        code, lines = checked(tmp_path, {"http": {"port": port}})
    assert code == 1
    assert about("port", lines) == [
        (
            f"fail port: cannot serve metrics at 127.0.0.1:{port}: Address already in use. "
            "Set http.port to a free port (0 takes any) and http.host to an address of this machine."
        )
    ]


@pytest.mark.parametrize("secured", [False, True])
def test_a_port_that_csq_has_is_csq_s(tmp_path: Path, web: Path, secured: bool) -> None:
    app = application(CollectorRegistry(), lambda: 0.0, lambda: 60, lambda: ["Kafka: away"])
    server = WebServer(app, port=0, secured=WebConfigFile(web) if secured else None)
    server.start()
    try:
        port = int(server.url.rpartition(":")[2])
        code, lines = checked(tmp_path, {"http": {"port": port}})
    finally:
        server.stop()
    assert code == 0
    assert about("port", lines)[0].startswith(f"warn port: csq answers at 127.0.0.1:{port} already.")


# State and clock.


def test_a_store_is_described_and_one_that_does_not_fit_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    prepare(folder, shape_of(State(str(folder)), ["step"]))
    code, lines = checked(tmp_path, {"state": {"directory": str(folder)}})
    assert code == 0
    assert "ok state: state: a store of csq " in about("state", lines)[1]
    assert "with 64 lanes" in about("state", lines)[1]

    code, lines = checked(tmp_path, {"state": {"directory": str(folder), "lanes": 32}})
    assert code == 1
    assert "created with state.lanes 64, the settings say 32" in about("state", lines)[1]

    (folder / "csq.json").unlink()
    code, lines = checked(tmp_path, {"state": {"directory": str(folder)}})
    assert code == 1
    assert "partitions without csq.json" in about("state", lines)[1]


def test_a_state_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, lines = checked(tmp_path, {"state": {"directory": str(tmp_path / "file" / "state")}})
    assert code == 1
    assert about("state", lines)[0].startswith("fail state: file/state: cannot be written: Not a directory")


@pytest.mark.parametrize(("free", "status"), [(10 << 20, "fail"), (500 << 20, "warn"), (2 << 30, "ok")])
def test_too_little_room_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    _, lines = checked(tmp_path, {"state": {"directory": str(tmp_path)}})
    assert about("state", lines)[0].startswith(f"{status} state: ")


@pytest.mark.parametrize(("disciplined", "line"), [(True, "ok clock"), (False, "warn clock"), (None, "ok clock")])
def test_a_clock_that_is_not_synchronised_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disciplined: bool | None, line: str
) -> None:
    monkeypatch.setattr(machine, "_is_disciplined", lambda: disciplined)
    _, lines = checked(tmp_path, {})
    assert about("clock", lines)[0].startswith(line)


def test_a_file_system_with_another_time_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat
    ahead = 300.0

    def later(name: str, **how: Any) -> Any:
        found = real(name, **how)
        return SimpleNamespace(st_mtime=found.st_mtime + ahead)

    assert machine._file_system_ahead(str(tmp_path)) == pytest.approx(0.0, abs=0.5)
    monkeypatch.setattr(machine.os, "stat", later)
    assert machine._file_system_ahead(str(tmp_path)) == pytest.approx(ahead, abs=1.0)
    ahead = -300.0
    assert machine._file_system_ahead(str(tmp_path)) == pytest.approx(ahead, abs=1.0)


def test_ids_that_are_personal_data_are_reported_unless_they_are_published_as_pseudonyms(tmp_path: Path) -> None:
    records = [{"data": {"customer_id": f"ann{n}@example.com", "conversation_id": f"c{n}"}} for n in range(30)]
    with EmbeddedBroker(["csq.events", *OUTPUTS]) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        for value in [*map(json.dumps, records), "no JSON", "[1]"]:
            producer.produce("csq.events", value)
        producer.flush(5)
        kafka = {"brokers": [broker.bootstrap_servers]}
        _, lines = checked(tmp_path, {"kafka": kafka})
        assert about("ids", lines) == [
            (
                "warn ids: csq.events: customer_id looks like an e-mail address in 30 of the 32 newest events. Set "
                "privacy.pseudonyms and privacy.key_file, or let producers send other ids (docs/security.md)."
            )
        ]
        for chosen in ("email", "customer_id"):
            _, lines = checked(tmp_path, {"kafka": kafka, "privacy": {"pseudonyms": [chosen], "key_file": "key"}})
            assert about("ids", lines) == []


@pytest.mark.parametrize(
    ("stream", "config", "expected"),
    [
        (None, {"retention.ms": "604800000"}, "ok csq.x: keeps records for 7 days"),
        (None, {"retention.ms": "-1"}, "warn csq.x: keeps records for ever, those of forgotten customers too."),
        (None, {"retention.ms": "99999999999"}, "warn csq.x: keeps records for 1.16e+03 days, longer than intake.forgotten_days (730)."),
        ("csq.turn.scored", {"retention.ms": "99999999999"}, "ok csq.x: keeps records for 1.16e+03 days"),
        ("csq.turn.scored", {"cleanup.policy": "compact"}, "warn csq.x: compacted, so the last record of each key stays for ever."),
        ("csq.churn.scored", {"cleanup.policy": "compact"}, "ok csq.x: compacted; csq forget writes a tombstone for the customer"),
    ],
)  # fmt: skip
def test_the_retention_of_topics_is_reported(stream: str | None, config: dict[str, str], expected: str) -> None:
    found = check_retention("csq.x", stream, config, 730.0)
    assert f"{found.status} {found.says}" == expected
    assert found.check == "retention"


# A real broker.

ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, kafka_libraries: None) -> Iterator[Kafka]:
    """A broker that lets its user do only what a list allows."""
    with Kafka(tmp_path_factory.mktemp("guarded"), ACLS) as kafka:
        for topic in ("csq.events", "others", *OUTPUTS[:2]):
            kafka.create_topic(topic)
        for topic, operations in {
            "csq.events": (AclOperation.READ,),
            "others": (AclOperation.DESCRIBE,),
            OUTPUTS[0]: (AclOperation.WRITE,),
            OUTPUTS[1]: (AclOperation.DESCRIBE,),
        }.items():
            for operation in operations:
                allow(kafka, ResourceType.TOPIC, topic, operation)
        yield kafka


def allow(kafka: Kafka, kind: ResourceType, name: str, operation: AclOperation) -> None:
    binding = AclBinding(
        kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW
    )
    kafka.admin.create_acls([binding])[binding].result(10)


def secure(kafka: Kafka, **other: Any) -> dict[str, Any]:
    return {"kafka": {"brokers": [kafka.secure_address], "security": kafka.secure_config(), **other}}


@pytest.mark.slow
def test_missing_rights_are_reported_by_topic(tmp_path: Path, guarded: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "ASK_SECONDS", 5.0)
    before = {topic: guarded.ends(topic) for topic in OUTPUTS[:2]}
    code, lines = checked(tmp_path, secure(guarded, topics=["csq.events", "others", "hidden"], group_id="csq"))
    assert code == 1
    assert "ok credentials: sasl_ssl SCRAM-SHA-512 accepted" in lines
    assert set(about("topic", lines)) == {
        "ok topic: csq.events: 4 partitions, readable, empty",
        "fail topic: others: this user may not read it. Allow READ on the topic.",
        (
            "fail topic: hidden: not there. Create it (kafka-topics.sh --create --topic hidden), correct kafka.topics, or allow "
            "this user to describe it."
        ),
    }
    assert about("group", lines)[0].startswith("fail group: csq: ")
    written = about("output", lines)
    assert written[0] == f"ok output: {OUTPUTS[0]}: writable"
    assert written[1] == f"fail output: {OUTPUTS[1]}: this user may not write to it. Allow WRITE on the topic."
    assert written[2].startswith(
        f"warn output: {OUTPUTS[2]}: does not exist; the brokers do not report whether they create it."
    )
    assert PASSWORD not in "".join(lines)
    assert {topic: guarded.ends(topic) for topic in OUTPUTS[:2]} == before
    assert OUTPUTS[2] not in guarded.admin.list_topics(timeout=5).topics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("security", "reported"),
    [
        ({"sasl.password": "wrong"}, "fail credentials: "),
        ({"ssl.ca.location": ""}, "fail credentials: "),
        ({"security.protocol": "sasl_plaintext"}, "fail brokers: "),
    ],
)
def test_wrong_credentials_are_reported_as_such(
    tmp_path: Path, guarded: Kafka, security: dict[str, str], reported: str
) -> None:
    settings = secure(guarded, connect_seconds=6)
    settings["kafka"]["security"] = guarded.secure_config() | security
    code, lines = checked(tmp_path, settings)
    assert code == 1
    assert lines[-1].startswith(reported)
    assert "wrong" not in lines[-1].replace("wrong version", "")


@pytest.mark.slow
def test_missing_topics_fail_if_the_brokers_create_none(
    tmp_path: Path, guarded: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "ASK_SECONDS", 5.0)
    code, lines = checked(tmp_path, {"kafka": {"brokers": [guarded.address]}})
    assert code == 1
    assert about("output", lines)[2].startswith(
        f"fail output: {OUTPUTS[2]}: does not exist, and the brokers create no topics"
    )
