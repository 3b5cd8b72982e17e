"""The handshake of processes and their signs of life, between threads of one process."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows.host.cluster import peers
from flows.host.cluster.connection import LINE_BYTES
from flows.host.cluster.peers import Peers, PeersError
from flows.host.cluster.place import ProcessPlace
from flows.host.cluster.supervise import free_addresses

TRAITS = {"state.lanes": "64"}


class Member:
    """One process of a cluster, whose handshake runs in a thread."""

    def __init__(self, process: int, addresses: tuple[str, ...], traits: dict[str, str], seconds: float = 20.0) -> None:
        self.silent: list[int] = []
        self.lost: list[str] = []
        place = ProcessPlace(process, addresses)
        self.peers = Peers(
            place, traits, self.silent.append, self.lost.append, wait_seconds=seconds, run=f"run of p{process}"
        )
        self.error: PeersError | None = None
        self.agreed = False
        self.run = ""
        self.thread = threading.Thread(target=self._agree, daemon=True)
        self.thread.start()

    def _agree(self) -> None:
        try:
            self.run = self.peers.agree()
            self.agreed = True
        except PeersError as error:
            self.error = error


class Members:
    """Starts processes of one cluster."""

    def __init__(self, count: int) -> None:
        self.addresses = tuple(free_addresses(count))
        self.started: list[Member] = []

    def start(self, process: int, traits: dict[str, str] | None = None, **more: Any) -> Member:
        self.started.append(Member(process, self.addresses, TRAITS if traits is None else traits, **more))
        return self.started[-1]


@pytest.fixture
def members() -> Iterator[Callable[[int], Members]]:
    made: list[Members] = []

    def make(count: int) -> Members:
        made.append(Members(count))
        return made[-1]

    yield make
    for each in made:
        for member in each.started:
            member.peers.end()


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 20.0
    while True:
        try:
            return socket.create_connection((host, int(port)), 20.0)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_processes_agree_in_whatever_order_they_start(members: Callable[[int], Members], order: tuple[int, ...]):
    cluster = members(3)
    for process in order[:-1]:
        cluster.start(process)
    time.sleep(0.5)
    assert not any(member.agreed for member in cluster.started)
    cluster.start(order[-1])
    until(lambda: all(member.agreed for member in cluster.started))
    assert [member.peers.obstacles() for member in cluster.started] == [[], [], []]
    assert {member.run for member in cluster.started} == {"run of p0"}


def test_the_address_of_process_0_is_free_when_they_have_agreed(members: Callable[[int], Members]):
    cluster = members(2)
    other = cluster.start(1)
    cluster.start(0)
    until(lambda: other.agreed)
    host, _, port = cluster.addresses[0].rpartition(":")
    socket.create_server((host, int(port))).close()  # as Bytewax will, while the link goes on
    time.sleep(1.5)
    assert other.lost == []


def test_who_is_missing_is_said(members: Callable[[int], Members]):
    cluster = members(3)
    first = cluster.start(0)
    cluster.start(2)
    until(lambda: first.peers.obstacles() == [f"waiting for p1 ({cluster.addresses[1]})"])
    until(lambda: cluster.started[1].peers.obstacles() == [f"waiting for p1 ({cluster.addresses[1]})"])
    alone = members(2)
    last = alone.start(1)
    until(lambda: last.peers.obstacles() == [f"waiting for p0 ({alone.addresses[0]}): Connection refused"])


def test_who_is_missing_is_logged(
    members: Callable[[int], Members], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(peers, "PROGRESS_SECONDS", 0.1)
    cluster = members(2)
    cluster.start(0)
    until(lambda: f"waiting for p1 ({cluster.addresses[1]})" in caplog.messages)


@pytest.mark.parametrize("process", [0, 1])
def test_the_wait_ends(members: Callable[[int], Members], process: int):
    cluster = members(2)
    member = cluster.start(process, seconds=0.5)
    until(lambda: member.error)
    missing = f"p{1 - process} ({cluster.addresses[1 - process]})"
    text = str(member.error)
    assert text.startswith(f"p{process} has been waiting for {missing}")
    assert "for 0.5 s. Start all processes with the same --addresses" in text


def test_a_difference_ends_all_and_names_both_values(members: Callable[[int], Members]):
    cluster = members(3)
    cluster.start(0)
    cluster.start(1)
    time.sleep(0.5)
    cluster.start(2, {"state.lanes": "32"})
    until(lambda: all(member.error for member in cluster.started))
    texts = {str(member.error) for member in cluster.started}
    assert len(texts) == 1
    assert "so none of them reads anything:\n- state.lanes: 64 in p0, p1, 32 in p2\n" in texts.pop()
    assert all(member.lost == [] for member in cluster.started)


def test_a_second_process_of_one_number_is_refused_and_the_first_goes_on(members: Callable[[int], Members]):
    cluster = members(3)
    cluster.start(0)
    cluster.start(1)
    until(lambda: cluster.started[0].peers.obstacles() == [f"waiting for p2 ({cluster.addresses[2]})"])
    again = cluster.start(1)
    until(lambda: again.error)
    assert str(again.error) == "p1 is running already: each process needs a --process-id of its own"
    cluster.start(2)
    until(lambda: all(member.agreed for member in (cluster.started[0], cluster.started[1], cluster.started[3])))


@pytest.mark.parametrize(
    "sent",
    [b"\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b'{"type":"hello","process":0,"traits":{}}\n', b"x" * (LINE_BYTES + 1)],
)
def test_another_program_at_the_address_changes_nothing(members: Callable[[int], Members], sent: bytes):
    cluster = members(2)
    first = cluster.start(0)
    with connect(cluster.addresses[0]) as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        other = cluster.start(1)
        until(lambda: first.agreed and other.agreed)


def test_a_process_of_a_release_without_a_handshake_is_reported(members: Callable[[int], Members]):
    cluster = members(2)
    host, _, port = cluster.addresses[0].rpartition(":")
    with socket.create_server((host, int(port))) as server:
        member = cluster.start(1)
        server.settimeout(20.0)
        server.accept()[0].close()
        until(lambda: "closed the connection: it runs another release" in member.peers.obstacles()[0])
    cluster.start(0)
    until(lambda: member.agreed)


def test_an_address_in_use_is_an_error_at_once(members: Callable[[int], Members]):
    cluster = members(2)
    host, _, port = cluster.addresses[0].rpartition(":")
    with socket.create_server((host, int(port))):
        first = cluster.start(0)
        until(lambda: first.error)
    assert f"p0 cannot listen at {cluster.addresses[0]}" in str(first.error)
    assert "Address already in use" in str(first.error)


def mute(address: str, process: int) -> socket.socket:
    """A process that takes part in the handshake and then gives no sign of life."""
    connection = connect(address)
    hello = {"type": "hello", "process": process, "traits": TRAITS}
    connection.sendall(json.dumps(hello).encode() + b"\n")
    return connection


def test_a_process_that_hangs_is_reported_by_all_others(
    members: Callable[[int], Members], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "SILENT_SECONDS", 2.0)
    cluster = members(3)
    first, other = cluster.start(0), cluster.start(1)
    with mute(cluster.addresses[0], 2) as hanging:
        until(lambda: first.agreed and other.agreed)
        for member in (first, other):
            until(lambda member=member: member.peers.obstacles() and member.silent == [1], 8.0)
            assert member.peers.obstacles()[0].startswith("p2 has been silent for ")
        hanging.sendall(b'{"type":"alive"}\n')
        until(lambda: first.silent == other.silent == [1, 0], 8.0)
        assert first.peers.obstacles() == other.peers.obstacles() == []


def test_process_0_that_hangs_is_reported_by_the_others(
    members: Callable[[int], Members], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "SILENT_SECONDS", 2.0)
    cluster = members(2)
    host, _, port = cluster.addresses[0].rpartition(":")
    with socket.create_server((host, int(port))) as server:
        member = cluster.start(1)
        server.settimeout(20.0)
        hanging, _ = server.accept()
        with hanging:
            hanging.sendall(b'{"type":"agreed","run":"a"}\n')
            until(lambda: member.silent == [1], 8.0)
            assert member.peers.obstacles()[0].startswith("p0 has been silent for ")
        until(lambda: member.lost == ["p0"])
        until(lambda: member.peers.obstacles() == ["p0 has ended, or cannot be reached"])


def test_a_process_that_ends_is_reported_to_all(members: Callable[[int], Members]):
    cluster = members(2)
    first, other = cluster.start(0), cluster.start(1)
    until(lambda: first.agreed and other.agreed)
    other.peers.end()
    until(lambda: first.lost == ["p1"])
    assert other.lost == []
