"""The place of a process in a cluster: valid and refused options."""

import os
import subprocess

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, cluster_main
from click.testing import CliRunner

from flows.commands.main import main
from flows.host.cluster.place import ALONE, ClusterError, ProcessPlace, check, place_in, place_of
from operators.engine.learners import WakeLearners, WorkersError
from tests.streams import CSQ, ENVIRON, ROOT, SETTINGS, with_settings


def test_addresses_name_the_processes_in_their_order():
    place = place_of(1, "10.0.0.1:9200, 10.0.0.2:9200")
    assert place == ProcessPlace(1, ("10.0.0.1:9200", "10.0.0.2:9200"))
    assert (place.name, place.processes) == ("p1", 2)


def test_the_variables_of_bytewax_own_runner_are_understood():
    assert place_in({"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": "a:1;b:2"}) == ProcessPlace(1, ("a:1", "b:2"))
    assert place_in({}) is ALONE


@pytest.mark.parametrize(
    ("process", "addresses", "complaint"),
    [
        (2, "a:1,b:1", "--process-id counts from 0 to 1"),
        (0, "a,b:1", "got 'a', expected host:port"),
        (0, "a:1,b:x", "got 'b:x', expected host:port"),
        (0, "a:1,a:1", "an address occurs twice"),
    ],
)
def test_what_does_not_fit_together_is_refused(process: int, addresses: str, complaint: str):
    with pytest.raises(ClusterError, match=complaint):
        place_of(process, addresses)


def test_several_processes_want_a_kafka_that_each_reaches():
    check(SETTINGS, 1)
    with pytest.raises(ClusterError, match=r"2 processes need a Kafka that each of them reaches: set kafka\.brokers"):
        check(SETTINGS, 2)


def test_no_process_goes_without_a_lane():
    some = with_settings(kafka={"brokers": ("b:1",)}, state={"lanes": 4})
    check(some, 4)
    with pytest.raises(ClusterError, match=r"5 processes: at most 4, because state\.lanes is 4"):
        check(some, 5)


def test_two_workers_in_one_process_are_refused_with_the_reason():
    flow = Dataflow("test")
    op.output("out", op.input("hello", flow, WakeLearners(["churn"])), TestingSink([]))
    with pytest.raises(Exception, match=r".*") as refused:
        cluster_main(flow, [], 0, worker_count_per_proc=2)
    error: BaseException | None = refused.value
    while error is not None and not isinstance(error, WorkersError):
        error = error.__cause__
    assert "2 workers in 1 process(es): csq runs one worker per process" in str(error)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--processes", "2"], "2 processes need a Kafka that each of them reaches: set kafka.brokers."),
        (["--process-id", "0"], "--process-id and --addresses need each other, and exclude --processes"),
        (["--processes", "2", "--process-id", "0", "--addresses", "a:1,b:1"], "exclude --processes"),
        (["--process-id", "5", "--addresses", "a:1,b:1"], "--process-id counts from 0 to 1"),
    ],
)
def test_the_command_says_what_is_wrong(args: list[str], complaint: str):
    done = CliRunner().invoke(main, ["run", *args], env=dict.fromkeys(os.environ.keys() - ENVIRON.keys()))
    assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    assert complaint in done.stderr


def test_what_is_wrong_is_said_without_a_traceback_by_a_process_too():
    command = [*CSQ, "run", "--process-id", "0", "--addresses", "a:1,b:1"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  ours
    assert done.returncode == 2
    assert "2 processes need a Kafka that each of them reaches" in done.stderr
    assert "Traceback" not in done.stderr
