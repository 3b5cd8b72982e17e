"""The web server answers what Prometheus and a supervisor ask, and nothing else."""

import gzip
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from flows.host.web.server import WebError, WebServer, application
from operators.metrics.catalogue import ClosedSets
from operators.metrics.journal import Journal
from operators.metrics.observe import Observer, read

PAGES = ("/metrics", "/healthz", "/readyz")


class Flow:
    """The part of a flow that the server uses."""

    def __init__(self) -> None:
        self.idle = 0.5
        self.obstacles: list[str] = []


@pytest.fixture(scope="module")
def flow() -> Flow:
    return Flow()


@pytest.fixture(scope="module")
def server(flow: Flow) -> Iterator[WebServer]:
    registry = CollectorRegistry()
    Observer(registry, ClosedSets(queue=("orders",))).record([("csq_open_waits", ("orders",), 3)])
    server = WebServer(application(registry, lambda: flow.idle, lambda: 60, lambda: flow.obstacles), port=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: WebServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def test_metrics_are_in_the_text_format_by_default(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    waits = {family.name: family for family in parse_text(answer.text)}["csq_open_waits"]
    assert [(sample.labels, sample.value) for sample in waits.samples] == [({"queue": "orders"}, 3.0)]


def test_metrics_are_in_openmetrics_for_who_asks(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert "csq_open_waits" in {family.name for family in parse_openmetrics(answer.text)}  # type: ignore[no-untyped-call] # theirs


OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PROMETHEUS = (
    f"{OPENMETRICS};q=0.5,{OPENMETRICS.replace('1.0.0', '0.0.1')};q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus asks for."""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text;q=0, text/plain", "text/plain"),
        ("text/plain, application/openmetrics-text;version=1.0.0; q=0.0", "text/plain"),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.3", "text/plain"),
        ("text/plain;q=0.3, application/openmetrics-text;version=1.0.0;q=0.9", "application/openmetrics-text"),
        ("*/*", "text/plain"),
        ("", "text/plain"),
        ("application/openmetrics-text;version=1.0.0;q=high", "application/openmetrics-text"),
        (PROMETHEUS, "application/openmetrics-text"),
    ],
)
def test_metrics_come_as_the_client_likes_them_best(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.8"])
def test_metrics_are_compressed_for_who_accepts_it(server: WebServer, accepted: str) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": accepted})
    answer = connection.getresponse()
    assert answer.headers["content-encoding"] == "gzip"
    assert b'csq_open_waits{queue="orders"} 3.0' in gzip.decompress(answer.read())
    connection.close()


def test_metrics_are_plain_for_who_does_not(client: httpx.Client) -> None:
    assert "content-encoding" not in client.get("/metrics", headers={"accept-encoding": "identity"}).headers


def test_health_is_lost_when_the_flow_is_stuck(client: httpx.Client, flow: Flow) -> None:
    flow.idle = 59.9
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (
        200,
        "healthy: the flow moved 59.9 s ago\n",
    )
    flow.idle = 60.1
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (
        503,
        "not healthy: the flow has not moved for 60.1 s, the limit is 60 s\n",
    )
    flow.idle = 0.5


def test_readiness_says_in_words_what_is_in_the_way(client: httpx.Client, flow: Flow) -> None:
    assert (client.get("/readyz").status_code, client.get("/readyz").text) == (200, "ready\n")
    flow.obstacles = ["model churn is not loaded", "no broker answers"]
    answer = client.get("/readyz")
    flow.obstacles = []
    assert answer.status_code == 503
    assert answer.text == "not ready:\n- model churn is not loaded\n- no broker answers\n"


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/favicon.ico", "/healthz/../etc/passwd", "/%2e%2e/x"])
def test_everything_else_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", PAGES)
def test_head_has_the_headers_and_no_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_sent(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.text) == (405, "Method Not Allowed")


@pytest.mark.parametrize("path", [*PAGES, "/nowhere"])
def test_answers_carry_security_headers_and_no_server_name(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_an_idle_connection_blocks_no_client(server: WebServer, client: httpx.Client) -> None:
    address = client.base_url.host, client.base_url.port
    idle = [socket.create_connection(address) for _ in range(100)]
    try:
        assert client.get("/healthz").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def nothing() -> WebServer:
    return WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1, list), port=0)


def test_a_taken_port_is_said_before_the_flow_starts(server: WebServer) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    other = WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1, list), port=port)
    with pytest.raises(WebError) as error:
        other.start()
    assert str(error.value) == (
        f"cannot serve metrics at 127.0.0.1:{port}: Address already in use. "
        "Set http.port to a free port (0 takes any) and http.host to an address of this machine."
    )
    other.stop()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0)])
def test_an_address_that_cannot_be_had_is_said(host: str, port: int) -> None:
    with pytest.raises(WebError, match=r"^cannot serve metrics at .* Set http\.port"):
        WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1, list), host, port).start()


def test_stop_gives_the_port_back() -> None:
    first = nothing()
    first.start()
    port = int(first.url.rsplit(":", 1)[1])
    assert httpx.get(f"{first.url}/readyz").status_code == 200
    first.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{first.url}/readyz")
    second = WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1, list), port=port)
    second.start()
    assert second.url == first.url
    second.stop()


def test_ipv6_is_written_in_brackets() -> None:
    assert WebServer(application(CollectorRegistry(), lambda: 0.0, lambda: 1, list), "::1").url == "http://[::1]:9464"


def test_metrics_alone_write_down_what_they_show(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    observer = Observer(registry, ClosedSets(queue=("orders",)))
    observer.keep(Journal(tmp_path / "exposed-p0", 1))
    server = WebServer(application(registry, lambda: 0.0, lambda: 60, list, observer.exposing), port=0)
    server.start()
    try:
        observer.record([("csq_duplicates_total", (), 1)])
        for page in ("/healthz", "/readyz"):
            httpx.get(f"{server.url}{page}", timeout=5)
        read(registry)
        assert not (tmp_path / "exposed-p0").exists()
        httpx.get(f"{server.url}/metrics", timeout=5)
    finally:
        server.stop()
    assert Journal(tmp_path / "exposed-p0", 1).floors["csq_duplicates_total", ()] == 1
