"""The shop as a separate program: it writes to the brokers of the settings until it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest
from confluent_kafka import Consumer, TopicPartition

from flows.host import shop
from operators.connectors.embedded import PARTITIONS, EmbeddedBroker

LATE_SECONDS = 5.0
"""More than an event of the simulator is ever late; its past in `csq run` is 25 minutes."""


def test_without_brokers_it_says_what_to_set(monkeypatch):
    monkeypatch.setattr(os, "environ", {})

    with pytest.raises(SystemExit, match=r"no brokers to write to: set CSQ_KAFKA__BROKERS, such as \["):
        shop.main()


@pytest.mark.slow
def test_it_writes_events_of_now_and_ends_at_sigterm():
    began = time.time()
    with EmbeddedBroker(["csq.events"]) as broker:
        environment = {**os.environ, "CSQ_KAFKA__BROKERS": f"[{broker.bootstrap_servers}]"}
        process = subprocess.Popen([sys.executable, "-m", "flows.host.shop"], env=environment)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
        try:
            consumer.assign([TopicPartition("csq.events", number, 0) for number in range(PARTITIONS)])
            message = consumer.poll(30.0)
            assert message is not None
            assert message.error() is None
            event = json.loads(message.value())
            process.send_signal(signal.SIGTERM)
            code = process.wait(20.0)
        finally:
            process.kill()
            process.wait()
            consumer.close()

    assert event["type"].startswith("csq.")
    assert datetime.fromisoformat(event["time"]).timestamp() > began - LATE_SECONDS
    assert code == 0
