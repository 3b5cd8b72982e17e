"""Each line of the log has a stable name, and docs/operations.md explains each; a run's log names no customer."""

import ast
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from flows.settings.model import Outputs
from operators.connectors.embedded import EmbeddedBroker
from tests.streams import CSQ, ENVIRON

ROOT = Path(__file__).parents[2]
LOGGERS = {"log", "LOG", "_log"}
LEVELS = {"info", "warning", "error", "critical", "exception", "log"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Each place of the code that writes to the log at info or above."""
    for path in sorted([*ROOT.glob("flows/**/*.py"), *ROOT.glob("operators/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in LOGGERS
                and node.func.attr in LEVELS
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def event(call: ast.Call) -> str | None:
    """Its name, where it has one."""
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
                    return str(value.value)
    return None


def explained() -> set[str]:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    section = text.partition("\n## What the log says\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))


def test_each_line_of_the_log_has_a_name() -> None:
    assert [place for place, call in calls() if event(call) is None] == []


def test_the_documentation_explains_each_name_and_no_other() -> None:
    assert {name for _, call in calls() if (name := event(call))} == explained()


def test_a_name_is_lower_case_words() -> None:
    assert [name for name in explained() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


# A whole run.

TEXT = "pineapples never arrived"
WHO = ("customer-anna", "conversation-4711", "agent-bert", "message-0815", "event-0-anna")


def event_of(number: int, name: str, **data: Any) -> bytes:
    stamp = datetime.fromtimestamp(time.time() - 60 + number, UTC).isoformat()
    head = {"specversion": "1.0", "id": f"event-{number}-anna", "source": "shop", "type": f"csq.{name}", "time": stamp}
    ids = {"conversation_id": "conversation-4711", "customer_id": "customer-anna", "channel": "chat", "queue": "orders"}
    return json.dumps(head | {"data": ids | data}).encode()


def good() -> list[bytes]:
    customer, agent = {"role": "customer", "id": "customer-anna"}, {"role": "agent", "id": "agent-bert"}
    return [
        event_of(0, "conversation.opened"),
        event_of(1, "message.created", message_id="message-0815", author=customer, text=TEXT),
        event_of(2, "message.created", message_id="message-0816", author=agent, text=TEXT),
        event_of(3, "label.sentiment", message_id="message-0815", label="negative", labeller=TEXT),
        event_of(
            4, "feedback.submitted", feedback_id="f", kind="csat", score=1, scale_min=1, scale_max=5, comment=TEXT
        ),
    ]


def bad() -> list[bytes]:
    """Refused records of all kinds, each with words that no log may contain."""
    message = good()[1]
    return [
        message.replace(b'"text"', b'"txet"').replace(b"event-1", b"event-11"),
        message[:-20],
        event_of(5, TEXT),
        event_of(6, "message.created", message_id="message-0817", author={"role": TEXT, "id": TEXT}, text=TEXT),
        TEXT.encode() + b"\xff",
        json.dumps({"customer_id": "customer-anna", "text": TEXT}).encode(),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["info", "warning"])
def test_a_run_logs_its_life_cycle_and_no_text_or_id_of_a_customer(tmp_path: Path, level: str) -> None:
    with EmbeddedBroker(["csq.events", *Outputs().by_stream().values()]) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        for value in [*good(), *bad(), good()[0]]:
            producer.produce("csq.events", value, key="customer-anna")
        assert producer.flush(10) == 0
        environ = ENVIRON | {
            "CSQ_KAFKA__BROKERS": f"[{broker.bootstrap_servers}]",
            "CSQ_HTTP__PORT": "0",
            "CSQ_LOG__LEVEL": level,
            "CSQ_STATE__DIRECTORY": str(tmp_path / "state"),
        }
        with (tmp_path / "log").open("wb") as log:
            command = {"cwd": ROOT, "env": environ, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = subprocess.Popen([*CSQ, "run"], **command)  # noqa: S603 - our own command
        try:
            wait_for_dead_letters(broker, len(bad()))
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "log").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines()]
    assert [word for word in (TEXT, *TEXT.split(), *WHO) if word in text] == []
    if level == "warning":
        assert entries == []
        return
    reported = Counter(entry["event"] for entry in entries)
    assert [entries[0]["event"], entries[-1]["event"]] == ["start", "stop"]
    assert reported["store_made"] == reported["resume_point"] == reported["stopping"] == 1
    assert entries[-1]["why"] == "SIGTERM"
    assert entries[-1]["events"] == len(good())
    assert entries[-1]["seconds"] > 0
    assert reported.keys() <= explained()


def wait_for_dead_letters(broker: EmbeddedBroker, count: int) -> None:
    """Return when so many have been published: everything before them has been read."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([Outputs().deadletters])
    deadline, found = time.monotonic() + 60.0, 0
    while found < count and time.monotonic() < deadline:
        found += sum(message.error() is None for message in consumer.consume(10, 0.2))
    consumer.close()
    assert found >= count
