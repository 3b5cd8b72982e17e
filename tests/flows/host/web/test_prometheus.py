"""A real Prometheus scrapes csq over TLS with a password, and gets the numbers of a replay of the same events."""

import json
import signal
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import msgspec
import pytest
import trustme
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families as parse

from flows.replay import replay
from flows.settings.load import load
from flows.settings.model import Outputs
from operators.connectors.embedded import EmbeddedBroker
from operators.simulator import SimulatorParams, simulate
from tests.servers.prometheus import Prometheus, free_port, promtool
from tests.streams import CSQ, ENVIRON, NAMES, ROOT, SERVICE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prometheus_programs")]

EVENTS = 3_000
AGO_SECONDS = 3 * 3_600.0
"""How long before now the stream ends: all that an open wait can become it has become."""
WITH_TIME = {
    "csq_newest_event_timestamp_seconds": "live the clock goes on",
    "csq_service_level_ratio": "stands as last shown once its window is empty, and live it was shown more often",
    "csq_arrivals_per_hour": "as above",
}
PASSWORD = "open sesame"  # noqa: S105 - of a server that lives for a test

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def stream() -> list[tuple[str, bytes]]:
    """What a simulated shop delivered, some of it broken, and one event after all waits are over."""
    params = SimulatorParams(events_per_second=4.0, broken_share=0.02)
    end = simulate(params, EVENTS)[1].clock
    params = msgspec.structs.replace(params, start=params.start + time.time() - AGO_SECONDS - end)
    deliveries, _ = simulate(params, EVENTS)
    last = {
        "specversion": "1.0",
        "id": "last",
        "source": "test",
        "type": "csq.behavior.page_viewed",
        "time": datetime.fromtimestamp(time.time() - 60.0, UTC).isoformat(),
        "data": {"customer_id": "nobody"},
    }
    return [(some.key, some.raw) for some in deliveries] + [("nobody", json.dumps(last).encode())]


class Site:
    """`csq run` with TLS and a password, which reads a stream from an embedded broker of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = stream()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.crt")
        self.authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
        web = folder / "web.yaml"
        web.write_text(
            f"tls_server_config: {{cert_file: server.pem, key_file: server.pem}}\nbasic_auth_users: {{prometheus: {hashed}}}\n"
        )
        self.broker = EmbeddedBroker(["csq.events", *Outputs().by_stream().values()])
        producer = Producer({"bootstrap.servers": self.broker.bootstrap_servers})
        for key, value in self.values:
            producer.produce("csq.events", value, key)
        assert producer.flush(10) == 0
        environ = (
            ENVIRON
            | NAMES
            | {
                "CSQ_KAFKA__BROKERS": f"[{self.broker.bootstrap_servers}]",
                "CSQ_HTTP__PORT": str(self.port),
            }
        )
        with (folder / "log").open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            command = [*CSQ, "run", "--web.config.file", str(web)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, **streams)  # noqa: S603 - our own command

    def trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    def metrics(self) -> str:
        url, auth = f"https://{self.address}/metrics", ("prometheus", PASSWORD)
        return httpx.get(url, auth=auth, verify=self.trust(), trust_env=False).raise_for_status().text

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0, (self.folder / "log").read_text()
        finally:
            self.process.kill()
            self.process.wait()
            self.broker.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with closing(Site(tmp_path_factory.mktemp("site"))) as site:
        yield site


def job(name: str, site: Site, **other: Any) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [site.address]}], "scheme": "https"} | other


@pytest.fixture(scope="module")
def prometheus(site: Site) -> Iterator[Prometheus]:
    trusted = {"tls_config": {"ca_file": str(site.folder / "ca.crt")}}
    right, wrong = ({"basic_auth": {"username": "prometheus", "password": word}} for word in (PASSWORD, "wrong"))
    jobs = [
        job("csq", site, **trusted, **right),
        job("wrong_password", site, **trusted, **wrong),
        job("no_password", site, **trusted),
        job("no_trust", site, **right),
        job("no_tls", site, **right) | {"scheme": "http"},
    ]
    with Prometheus(
        {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": jobs}
    ) as prometheus:
        prometheus.wait_for("count(up) == 5")
        prometheus.wait_for('up{job="csq"} == 1')
        yield prometheus


def test_its_answers_are_those_of_a_replay(site: Site, prometheus: Prometheus, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(value.replace(b"\n", b" ") + b"\n" for _, value in site.values))
    (tmp_path / "out").mkdir()
    replay(load(None, NAMES), [str(file)], tmp_path / "out", batch_size=256, now=time.time(), progress=lambda _: None)
    expected = exposed((tmp_path / "out" / "metrics.prom").read_text(encoding="utf-8"))
    assert sum(value for (name, _), value in expected.items() if name == "csq_events_total") > 2_000

    deadline = time.monotonic() + 60.0
    while (differing := different(expected, scraped(prometheus))) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert differing == []


def exposed(text: str) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
        if comparable(sample.name)
    }


def scraped(prometheus: Prometheus) -> Values:
    found: Values = {}
    for labels, value in prometheus.query('{job="csq"}'):
        own = {name: text for name, text in labels.items() if name not in {"__name__", "instance", "job"}}
        if comparable(labels["__name__"]):
            found[labels["__name__"], frozenset(own.items())] = value
    return found


def comparable(name: str) -> bool:
    """Whether a sample depends on what happened and on nothing else."""
    family = name
    for end in ("_bucket", "_count", "_sum"):
        family = family.removesuffix(end)
    return family in SERVICE and family not in WITH_TIME and not name.endswith("_sum")


def different(expected: Values, actual: Values) -> list[Any]:
    return [
        (name, dict(labels), expected.get((name, labels)), actual.get((name, labels)))
        for name, labels in sorted(expected.keys() | actual.keys(), key=str)
        if expected.get((name, labels)) != actual.get((name, labels))
    ]


def test_a_client_without_password_or_trust_gets_nothing(prometheus: Prometheus) -> None:
    states = {sample.labels["job"]: sample.value for sample in prometheus.query("up")}
    assert states == {"csq": 1.0, "wrong_password": 0.0, "no_password": 0.0, "no_trust": 0.0, "no_tls": 0.0}
    errors = {target["labels"]["job"]: target["lastError"] for target in prometheus.targets()}
    assert "401" in errors["wrong_password"]
    assert "401" in errors["no_password"]
    assert "certificate" in errors["no_trust"]


def test_200_idle_connections_do_not_delay_a_scrape(site: Site, prometheus: Prometheus) -> None:
    alone = scrapes(prometheus)
    context = site.trust()
    with ExitStack() as idle:
        for number in range(200):
            client = idle.enter_context(closing(socket.create_connection(("127.0.0.1", site.port), 5)))
            if number % 2:
                idle.enter_context(closing(context.wrap_socket(client, server_hostname="127.0.0.1")))
        beside = scrapes(prometheus)
    assert statistics.median(beside) < 2 * statistics.median(alone) + 0.1


def scrapes(prometheus: Prometheus) -> Sequence[float]:
    """Seconds that each scrape of the next eleven seconds took; all of them worked."""
    began = prometheus.query("time()")[0].value
    time.sleep(11.0)
    end = prometheus.query("time()")[0].value
    assert prometheus.query('min_over_time(up{job="csq"}[10s])')[0].value == 1.0
    series = prometheus.query_range('scrape_duration_seconds{job="csq"}', began + 2, end, 2)
    return [value for _, value in series[0].points]


def test_promtool_finds_nothing_wrong_with_the_metrics(site: Site) -> None:
    assert promtool("check", "metrics", stdin=site.metrics()) == ""
