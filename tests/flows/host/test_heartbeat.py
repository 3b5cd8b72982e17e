"""Heartbeats say whether the flow moves, and not whether their thread lives."""

import socket
import time

import msgspec

from flows.host.heartbeat import Beat, Heartbeat, to_supervisor
from flows.host.liveness import START_SECONDS, LivenessClock


class LookedAt:
    """A heartbeat whose looks the test takes."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.clock = LivenessClock(limit_seconds=30.0)
        self.heartbeat = Heartbeat(self.clock, [self.beats.append])

    def look(self, seconds: float = 0.0) -> Beat:
        self.heartbeat._still._looked -= seconds  # as if it had been so long
        self.heartbeat.look()
        return self.beats[-1]


def test_a_flow_that_moves_is_not_still():
    flow = LookedAt()
    flow.look()
    for _ in range(5):
        flow.clock.beat()
        assert flow.look(1.0).still_seconds == 0.0


def test_a_flow_that_does_not_move_is_stuck_after_the_limit():
    flow = LookedAt()
    flow.clock.run()
    flow.look()
    looks = [flow.look(1.0) for _ in range(32)]
    assert [beat.is_stuck for beat in looks] == [False] * 29 + [True] * 3
    flow.clock.beat()
    assert not flow.look(1.0).is_stuck


def test_a_process_that_was_stopped_is_not_stuck_when_it_goes_on():
    flow = LookedAt()
    flow.clock.run()
    flow.look()
    assert not flow.look(3_600.0).is_stuck


def test_a_start_has_a_limit_of_its_own_and_its_parts_are_named():
    flow = LookedAt()
    seen = [flow.look()]
    flow.clock.begin("waits for the other processes")
    seen.append(flow.look())
    flow.clock.move()
    seen.append(flow.look())
    flow.clock.run()
    seen.append(flow.look())
    assert [(beat.doing, beat.moves, beat.runs, beat.limit_seconds) for beat in seen] == [
        ("starts", False, False, START_SECONDS),
        ("waits for the other processes", False, False, START_SECONDS),
        ("restores its state", True, False, START_SECONDS),
        ("runs", True, True, 30.0),
    ]


def test_it_carries_why_all_processes_should_start_again():
    flow = LookedAt()
    assert flow.look().restart == ""
    flow.heartbeat.restart = "new partitions of chat"
    assert flow.look().restart == "new partitions of chat"


def test_its_thread_reports_until_the_end():
    beats: list[Beat] = []
    heartbeat = Heartbeat(LivenessClock(), [beats.append])
    heartbeat.start()
    deadline = time.monotonic() + 10.0
    while len(beats) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    heartbeat.end()
    count = len(beats)
    time.sleep(1.2)
    assert len(beats) == count


def test_each_beat_is_a_line_and_a_supervisor_that_reads_nothing_holds_nothing_up():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send = to_supervisor(ours)
        beat = Beat("runs", moves=True, runs=True, still_seconds=0.0, limit_seconds=30.0)
        send(beat)
        assert msgspec.json.decode(theirs.recv(1_000), type=Beat) == beat
        for _ in range(20_000):
            send(beat)
    send(beat)  # it has ended
