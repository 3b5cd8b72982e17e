"""TLS, passwords and limits of the web server: unauthorised clients are refused, and no client blocks others."""

import asyncio
import http.client
import itertools
import os
import select
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import bcrypt
import httpx
import pytest
import trustme
from prometheus_client import CollectorRegistry

from flows.host.web import auth as passwords
from flows.host.web import connection
from flows.host.web.auth import BasicAuth
from flows.host.web.config import WebConfigFile
from flows.host.web.connection import MAX_CONNECTIONS, Wait
from flows.host.web.server import WebServer, application
from flows.host.web.turns import PER_CLIENT
from operators.metrics.catalogue import ClosedSets
from operators.metrics.observe import Observer

PASSWORD = "open sesame"  # noqa: S105 - of a server that lives for a test
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
SLOW_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
RIGHT = ("anna", PASSWORD)
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
USERS = f"basic_auth_users: {{anna: {HASH}}}\n"


class Site:
    """A web server in a folder that holds its configuration."""

    def __init__(self, folder: Path, text: str, reasons: Sequence[str] = (), idle_seconds: float = 0.0) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.renew()
        self.authority.cert_pem.write_to_path(folder / "ca.crt")
        self.configure(text)
        registry = CollectorRegistry()
        Observer(registry, ClosedSets(queue=("orders",)))
        self.server = WebServer(
            application(registry, lambda: idle_seconds, lambda: 60, lambda: reasons),
            port=0,
            secured=WebConfigFile(folder / "web.yaml"),
        )
        self.server.start()

    def configure(self, text: str) -> None:
        (self.folder / "web.yaml").write_text(text, encoding="utf-8")

    def renew(self) -> None:
        issued = self.authority.issue_cert("127.0.0.1")
        (self.folder / "server.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.folder / "server.key")

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.server.url.rpartition("//")[2].split(":")
        return host, int(port)

    def trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    def get(
        self, path: str = "/metrics", auth: tuple[str, str] | None = RIGHT, context: ssl.SSLContext | None = None
    ) -> httpx.Response:
        with httpx.Client(verify=context or self.trust(), trust_env=False, timeout=10) as client:
            return client.get(f"{self.server.url}{path}", auth=auth)

    def serial(self) -> int:
        """Of the certificate that a new connection gets."""
        with (
            socket.create_connection(self.address, 5) as raw,
            self.trust().wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            return int(str(secured.getpeercert()["serialNumber"]), 16)  # type: ignore[index] # it was verified, so it is there

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, 5)


@contextmanager
def serving(folder: Path, text: str, reasons: Sequence[str] = (), idle_seconds: float = 0.0) -> Iterator[Site]:
    site = Site(folder, text, reasons, idle_seconds)
    try:
        yield site
    finally:
        site.server.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path, TLS + USERS) as site:
        yield site


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path, "") as site:
        yield site


# A server takes a fifth of a second to stop: tests that change nothing about theirs share it.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("shared"), TLS + USERS) as site:
        yield site


@pytest.fixture(scope="module")
def shared_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("plain"), "") as site:
        yield site


@pytest.fixture(scope="module")
def shared_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("users"), USERS) as site:
        yield site


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(Wait.HEAD, "_value_", 0.4)
    monkeypatch.setattr(Wait.ANSWER, "_value_", 0.8)


# TLS.


def test_it_speaks_tls_1_2_and_1_3_and_nothing_older(shared: Site) -> None:
    assert shared.server.url.startswith("https://")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = shared.trust()
        context.minimum_version = context.maximum_version = version
        assert shared.get(context=context).status_code == 200
    old = shared.trust()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        shared.get(context=old)


def test_a_client_without_tls_gets_nothing(shared: Site) -> None:
    with closing(shared.connect()) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in everything(client)


def test_a_renewed_certificate_is_shown_to_the_next_connection_and_open_ones_go_on(site: Site) -> None:
    before = site.serial()
    with httpx.Client(verify=site.trust(), auth=RIGHT, trust_env=False) as client:
        assert client.get(f"{site.server.url}/metrics").status_code == 200
        site.renew()
        assert site.serial() != before
        assert client.get(f"{site.server.url}/metrics").status_code == 200


def everything(client: socket.socket) -> bytes:
    """Bytes until the other side closes, or resets."""
    found = b""
    try:
        while some := client.recv(65_536):
            found += some
    except ConnectionResetError:
        pass
    return found


# Client certificates.

MUTUAL = f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"


def as_client(site: Site, name: str | None, authority: trustme.CA | None = None) -> ssl.SSLContext:
    context = site.trust()
    if name is not None:
        (authority or site.authority).issue_cert(name).configure_cert(context)
    return context


def answers(site: Site, context: ssl.SSLContext) -> bool:
    try:
        return site.get(auth=None, context=context).status_code == 200
    except httpx.TransportError:
        return False


def test_only_clients_with_a_certificate_of_the_authority_get_in(tmp_path: Path) -> None:
    with serving(tmp_path, MUTUAL) as site:
        assert answers(site, as_client(site, "prometheus.example.org"))
        assert not answers(site, as_client(site, None))
        assert not answers(site, as_client(site, "prometheus.example.org", trustme.CA()))


def test_a_certificate_may_be_left_out_where_it_is_verified_only_if_given(tmp_path: Path) -> None:
    with serving(tmp_path, MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")) as site:
        assert answers(site, as_client(site, None))
        assert not answers(site, as_client(site, "prometheus.example.org", trustme.CA()))


def test_of_the_authority_s_clients_only_the_allowed_get_in(tmp_path: Path) -> None:
    with serving(tmp_path, f"{MUTUAL}  client_allowed_sans: [prometheus.example.org, 10.0.0.7]\n") as site:
        assert answers(site, as_client(site, "prometheus.example.org"))
        assert answers(site, as_client(site, "10.0.0.7"))
        assert not answers(site, as_client(site, "grafana.example.org"))


# Passwords.


WRONG = pytest.mark.parametrize(
    "auth", [None, ("anna", "wrong"), ("bert", PASSWORD), ("", ""), ("anna", PASSWORD + "\0")]
)


@pytest.mark.parametrize("path", ["/metrics", "/none", "/healthz/", "/readyz/../metrics"])
@WRONG
def test_a_page_with_data_needs_the_right_password(shared: Site, path: str, auth: tuple[str, str] | None) -> None:
    answer = shared.get(path, auth)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")
    assert answer.headers["www-authenticate"] == 'Basic realm="csq", charset="UTF-8"'
    assert answer.headers["x-content-type-options"] == "nosniff"


@WRONG
def test_probes_are_answered_without_a_password_and_without_a_reason(
    tmp_path: Path, auth: tuple[str, str] | None
) -> None:
    reasons = ["Kafka: no answer from kafka-1.internal:9093"]
    with serving(tmp_path, TLS + USERS, reasons) as site:
        healthy, ready = site.get("/healthz", auth), site.get("/readyz", auth)
        assert (healthy.status_code, healthy.text) == (200, "healthy: the flow moved 0.0 s ago\n")
        assert (ready.status_code, ready.text) == (503, "not ready\n")
        assert site.get("/readyz", RIGHT).text == "not ready:\n- Kafka: no answer from kafka-1.internal:9093\n"
        reasons.clear()
        assert (site.get("/readyz", auth).status_code, site.get("/readyz", auth).text) == (200, "ready\n")


def test_a_probe_without_a_password_costs_no_hash(shared: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_fits", lambda *_: pytest.fail("a hash was computed"))
    assert [shared.get(path, None).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert shared.get("/healthz", ("anna", "wrong")).status_code == 200


def test_a_probe_needs_a_certificate_where_clients_must_have_one(tmp_path: Path) -> None:
    with serving(tmp_path, MUTUAL + USERS) as site:
        assert site.get("/healthz", None, as_client(site, "probe.example.org")).status_code == 200
        with pytest.raises(httpx.TransportError):
            site.get("/healthz", None, as_client(site, None))


# The health check of the image.


def health_check(site: Site) -> "subprocess.CompletedProcess[str]":
    """As the image runs it, at the port of a server."""
    environment = {**os.environ, "CSQ_HTTP__PORT": str(site.address[1])}
    command = [sys.executable, "-m", "flows.host.web.probe"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own command


def test_the_health_check_of_the_image_passes_with_passwords_and_tls(shared: Site, shared_with_users: Site) -> None:
    assert [health_check(site).returncode for site in (shared, shared_with_users)] == [0, 0]


def test_the_health_check_of_the_image_fails_if_the_flow_is_stuck_or_no_server_answers(tmp_path: Path) -> None:
    with serving(tmp_path, USERS, idle_seconds=61.0) as site:
        done = health_check(site)
        assert (done.returncode, done.stderr) == (
            1,
            "not healthy: the flow has not moved for 61.0 s, the limit is 60 s\n",
        )
    done = health_check(site)
    assert (done.returncode, done.stderr) == (1, f"no answer at port {site.address[1]}\n")


@pytest.mark.parametrize(
    "header", ["Basic", "Basic ====", "Basic /w==", "Bearer x", "Basic " + "x" * 9_000, "basic Zm9v\xe4"]
)
def test_a_malformed_authorization_is_a_wrong_one(shared_with_users: Site, header: str) -> None:
    connection = http.client.HTTPConnection(*shared_with_users.address, timeout=5)
    connection.request("GET", "/metrics", headers={"Authorization": header})
    assert connection.getresponse().status == 401
    connection.close()


def test_users_and_passwords_change_without_a_restart(site: Site) -> None:
    assert site.get().status_code == 200
    site.configure(TLS + USERS.replace("anna", "bert"))
    assert site.get().status_code == 401
    assert site.get(auth=("bert", PASSWORD)).status_code == 200
    other = bcrypt.hashpw(b"changed", bcrypt.gensalt(4)).decode()
    site.configure(f"{TLS}basic_auth_users: {{bert: {other}}}\n")
    assert site.get(auth=("bert", PASSWORD)).status_code == 401
    assert site.get(auth=("bert", "changed")).status_code == 200


def test_a_known_password_costs_a_scrape_nothing_and_a_repeated_wrong_one_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(passwords, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(
        passwords, "_fits", lambda password, hashed: checked.append(password) or bcrypt.checkpw(password, hashed)
    )
    users = {"anna": HASH.encode()}

    async def ask() -> list[bool]:
        auth = BasicAuth()
        return [
            await auth.allows(users, httpx.BasicAuth("anna", word)._auth_header.encode())
            for word in (PASSWORD, "wrong") * 20
        ]

    assert asyncio.run(ask()) == [True, False] * 20
    assert checked == [PASSWORD.encode(), b"wrong"]


def test_an_unknown_user_costs_what_a_known_one_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[bytes] = []
    monkeypatch.setattr(passwords, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(passwords, "_fits", lambda _, hashed: bool(hashes.append(hashed)))
    users = {"cheap": HASH.encode(), "anna": SLOW_HASH.encode()}
    asyncio.run(BasicAuth().allows(users, httpx.BasicAuth("nobody", "x")._auth_header.encode()))
    asyncio.run(BasicAuth().allows(users, httpx.BasicAuth("anna", "x")._auth_header.encode()))
    assert [hashed[:7] for hashed in hashes] == [b"$2b$10$", b"$2b$10$"]
    assert not bcrypt.checkpw(b"", hashes[0])


def test_wrong_passwords_do_not_pile_up_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(passwords, "_fits", lambda *_: False)
    auth = BasicAuth()

    async def guess() -> None:
        for number in range(1_000):
            assert not await auth.allows(
                {"anna": HASH.encode()}, httpx.BasicAuth("anna", str(number))._auth_header.encode()
            )

    asyncio.run(guess())
    assert len(auth._wrong) == passwords.WRONG_KEPT


def test_during_a_password_attack_the_known_scraper_is_answered_at_once(site: Site) -> None:
    with httpx.Client(verify=site.trust(), trust_env=False, timeout=30) as client:
        assert client.get(f"{site.server.url}/metrics", auth=RIGHT).status_code == 200
        context = site.trust()
        with ExitStack() as guesses:
            for number in range(20):
                guess = guesses.enter_context(closing(context.wrap_socket(site.connect(), server_hostname="127.0.0.1")))
                header = httpx.BasicAuth("anna", f"guess {number}")._auth_header
                guess.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
            began = time.monotonic()
            assert client.get(f"{site.server.url}/metrics", auth=RIGHT).status_code == 200
            assert time.monotonic() - began < 1.0  # twenty guesses take two seconds and more


def test_an_address_with_too_many_guesses_is_refused_and_its_probes_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = threading.Event()
    monkeypatch.setattr(passwords, "REFUSED_SECONDS", 0.0)
    monkeypatch.setattr(passwords, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(passwords, "_fits", lambda *_: not checked.wait(20))
    with serving(tmp_path, USERS) as site, ExitStack() as guesses:
        clients = []
        for number in range(PER_CLIENT + 2):
            clients.append(guesses.enter_context(closing(site.connect())))
            header = httpx.BasicAuth("anna", f"guess {number}")._auth_header
            clients[-1].sendall(
                f"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {header}\r\n\r\n".encode()
            )
        refused = select.select(clients, [], [], 20)[0]
        assert [everything(client).split(b"\r\n")[0] for client in refused] == [b"HTTP/1.1 429 Too Many Requests"]
        assert site.get("/readyz", auth=("anna", "one more")).status_code == 200
        assert site.get(auth=("anna", "one more")).headers["retry-after"] == "5"
        checked.set()


GUESSING = """
import asyncio, base64, sys
port, connections, addresses = map(int, sys.argv[1:])

async def guess(number):
    attempt = 0
    while True:
        attempt += 1
        header = base64.b64encode(f"anna:guess {number} {attempt}".encode()).decode()
        try:
            source = (f"127.0.0.{2 + number % addresses}", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
            writer.write(f"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Basic {header}\\r\\n\\r\\n".encode())
            print(number % addresses, (await reader.readline()).decode().strip(), flush=True)
            writer.close()
        except OSError:
            await asyncio.sleep(0.05)

async def main():
    await asyncio.gather(*(guess(number) for number in range(connections)))

asyncio.run(asyncio.wait_for(main(), 60))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without further ado")
def test_after_a_restart_245_guessing_connections_do_not_lock_the_right_client_out(tmp_path: Path) -> None:
    taken = []
    for start in range(3):
        folder = tmp_path / str(start)
        folder.mkdir()
        with serving(folder, f"basic_auth_users: {{anna: {SLOW_HASH}}}\n") as site:
            command = [sys.executable, "-c", GUESSING, str(site.address[1]), "245", "10"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as guesses:  # noqa: S603 - the text above
                try:
                    assert guesses.stdout is not None
                    guessed: set[bytes] = set()
                    while len(guessed) < 10:  # the addresses that had a turn
                        number, _, status = guesses.stdout.readline().partition(b" ")
                        guessed |= {number} if b"401" in status else set()
                    client = http.client.HTTPConnection(*site.address, timeout=20)
                    began = time.monotonic()
                    client.request("GET", "/metrics", headers={"Authorization": httpx.BasicAuth(*RIGHT)._auth_header})
                    assert client.getresponse().status == 200
                    client.close()
                    taken.append(time.monotonic() - began)
                finally:
                    guesses.kill()
    assert statistics.median(taken) < 2.0, taken  # one of them may meet a busy machine


# Slow and idle clients.


def scrape_seconds(site: Site, times: int = 15) -> float:
    """Median of fresh connections."""
    context, taken = site.trust(), []
    for _ in range(times):
        began = time.monotonic()
        assert site.get(context=context).status_code == 200
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def test_two_hundred_idle_connections_do_not_delay_a_scrape(site: Site) -> None:
    site.get()
    alone = scrape_seconds(site)
    with ExitStack() as idle:
        for number in range(200):
            client = idle.enter_context(closing(site.connect()))
            if number % 2:
                client.sendall(b"\x16\x03\x01\x02")  # the beginning of a handshake
        beside = scrape_seconds(site)
    assert beside < 2 * alone + 0.05


def test_where_there_are_too_many_those_that_never_asked_go_first(plain: Site) -> None:
    scraper = http.client.HTTPConnection(*plain.address, timeout=5)
    scraper.request("GET", "/healthz")
    assert scraper.getresponse().read()
    with ExitStack() as idle:
        first = idle.enter_context(closing(plain.connect()))
        for _ in range(MAX_CONNECTIONS + 20):
            idle.enter_context(closing(plain.connect()))
        first.settimeout(5)
        assert everything(first) == b""  # it was closed
        assert plain.get("/healthz", auth=None).status_code == 200
        scraper.request("GET", "/healthz")  # on its old connection
        assert scraper.getresponse().read()
    scraper.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without further ado")
def test_where_there_are_too_many_the_address_with_most_loses_one(plain: Site) -> None:
    with ExitStack() as idle:
        single = idle.enter_context(closing(socket.create_connection(plain.address, 5, ("127.0.0.2", 0))))
        for _ in range(MAX_CONNECTIONS + 20):
            idle.enter_context(closing(plain.connect()))
        single.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert everything(single).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("sent", [b"", b"G", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"POST /metrics HTTP/1.1\r\n"])
def test_who_does_not_come_to_the_end_of_a_request_is_cut_off(shared_plain: Site, sent: bytes) -> None:
    with closing(shared_plain.connect()) as client:
        began = time.monotonic()
        client.sendall(sent)
        assert everything(client) == b""
        assert 0.3 < time.monotonic() - began < 3.0


@pytest.mark.usefixtures("brief")
def test_dripping_bytes_win_no_time(shared_plain: Site) -> None:
    with closing(shared_plain.connect()) as client:
        began = time.monotonic()
        with suppress(OSError):  # broken pipe or reset, as it happens
            for byte in itertools.cycle(b"GET /"):
                client.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - began < 3.0


@pytest.mark.usefixtures("brief")
def test_a_handshake_that_does_not_end_is_cut_off(shared: Site) -> None:
    with closing(shared.connect()) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
        began = time.monotonic()
        assert everything(client) == b""
        assert time.monotonic() - began < 3.0


@pytest.mark.usefixtures("brief")
def test_who_does_not_read_the_answer_is_cut_off(plain: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Wait] = []
    end = connection.Connection.end
    monkeypatch.setattr(connection.Connection, "end", lambda self: (closed.append(self.waits_for), end(self))[1])
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(plain.address)
        with suppress(OSError):  # broken pipe or reset, as it happens
            while True:  # each answer is some kilobytes
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    until(lambda: closed, 3.0)
    assert closed[0] is Wait.ANSWER


def until(holds: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_requests_sent_ahead_are_answered_in_turn(shared_plain: Site) -> None:
    with closing(shared_plain.connect()) as client:
        client.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3
            + b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        found = everything(client)
    assert found.count(b"HTTP/1.1 200") == 3
    assert found.count(b"HTTP/1.1 404") == 1


def test_idle_and_half_open_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, TLS) as site, ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(closing(site.connect()))
        with httpx.Client(verify=site.trust(), trust_env=False) as client:
            assert client.get(f"{site.server.url}/healthz").status_code == 200
            began = time.monotonic()
            site.server.stop()
            assert time.monotonic() - began < 2.0


# Sizes.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 100000000"])
def test_a_body_is_refused_unread(shared_plain: Site, method: str, framing: str) -> None:
    with closing(shared_plain.connect()) as client:
        client.sendall(f"{method} /metrics HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        found = everything(client)  # it closes: the rest is not waited for
    assert found.startswith(b"HTTP/1.1 413")
    assert found.endswith(b"a request has no body here\n")


def test_a_head_that_is_too_long_is_refused(shared_plain: Site) -> None:
    with closing(shared_plain.connect()) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert everything(client).startswith(b"HTTP/1.1 400")


def test_headers_of_the_configuration_win_over_ours(plain: Site) -> None:
    plain.configure(
        "http_server_config:\n  headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60}\n"
    )
    headers = plain.get("/healthz", auth=None).headers
    assert headers.get_list("x-frame-options") == ["sameorigin"]
    assert headers["strict-transport-security"] == "max-age=60"
    assert headers["cache-control"] == "no-store"
