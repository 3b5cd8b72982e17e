"""Partitions of which a recovery store has positions."""

from datetime import timedelta
from pathlib import Path
from threading import Event

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, run_main

from operators.connectors.embedded import PARTITIONS, EmbeddedBroker
from operators.connectors.kafka.params import KafkaParams
from operators.connectors.kafka.source import KafkaSource, stored_parts


def test_a_partition_is_found_once_its_position_is_stored(tmp_path: Path):
    init_db_dir(tmp_path, 2)
    assert stored_parts(str(tmp_path)) == frozenset()
    stopped = Event()
    stopped.set()
    with EmbeddedBroker(["a.b", "other"]) as broker:
        params = KafkaParams(brokers=(broker.bootstrap_servers,), start="latest")
        flow = Dataflow("csq")
        op.output("out", op.input("kafka", flow, KafkaSource(params, ["a.b"], stop=stopped)), TestingSink([]))
        run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)), epoch_interval=timedelta(0))
    assert stored_parts(str(tmp_path)) == {f"a.b[{number}]" for number in range(PARTITIONS)}
    assert stored_parts(str(tmp_path), "csq.another") == frozenset()


def test_without_a_store_or_with_a_broken_one_none_is_found(tmp_path: Path):
    assert stored_parts(None) == frozenset()
    assert stored_parts(str(tmp_path / "missing")) == frozenset()
    (tmp_path / "part-0.sqlite3").write_bytes(b"no database at all, but long enough to be one" * 10)
    assert stored_parts(str(tmp_path)) == frozenset()
