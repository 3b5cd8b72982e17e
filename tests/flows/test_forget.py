"""A forgotten customer: nothing that csq keeps has the customer's ids any more, and nothing brings them back."""

import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from operators.connectors.embedded import EmbeddedBroker
from operators.connectors.files.letters import DeadLettersError, remove_letters_of
from operators.documents.yaml import write
from operators.engine.checkpoints import PENDING
from operators.metrics.observe import Values
from tests.builders import raw
from tests.servers.process import Csq, replayed
from tests.streams import CSQ, ENVIRON, ROOT

ANN, TALK = "ann.forgettable@example.com", "talk with +49 170 1234567"
KEPT = "csq_forgotten_events_total"
SETTINGS = {"churn": {"attributes": {"plan": "category"}}, "customers": {"label_from": "orders"}}
CLEAN_SECONDS = 60.0
"""As docs/promises.md says: two snapshots, a second and a rebuild of the store, much less here."""


def life(customer: str, talk: str, begin: float) -> list[bytes]:
    """Events that leave something in every stage: records, turns, labels that wait, an open conversation, a name."""
    kinds = [
        (
            "csq.customer.updated",
            {"customer_id": customer, "attributes": {"plan": f"plan of {customer}"}, "segment": "rare"},
        ),
        (
            "csq.message.created",
            {"conversation_id": talk, "customer_id": customer, "text": "where is it?", "queue": "seldom"},
        ),
        ("csq.label.sentiment", {"conversation_id": talk, "message_id": "not there", "label": "negative"}),
        ("csq.conversation.resolved", {"conversation_id": f"{talk} before", "customer_id": customer}),
        ("csq.feedback.submitted", {"conversation_id": talk, "customer_id": customer}),
        ("csq.behavior.order_completed", {"customer_id": customer}),
        ("csq.complaint.opened", {"customer_id": customer}),
    ]
    return [raw(kind, begin + n, f"{customer} {begin} {n}", **data) for n, (kind, data) in enumerate(kinds)]


def forgotten(customer: str, at: float) -> bytes:
    return raw("csq.customer.forgotten", at, f"forget {at}", customer_id=customer)


def run(folder: Path, events: Iterable[bytes]) -> Values:
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(b"\n".join(events))
    return replayed(folder / "events.jsonl", folder / "out", SETTINGS)


def counters(values: Values) -> Values:
    names = [name for name in values if name.startswith("csq_") and name.endswith(("_total", "_count"))]
    return {
        name: {labels: n for labels, n in values[name].items() if n and "csq.customer.forgotten" not in labels}
        for name in names
    }


def test_counters_keep_what_they_counted_and_older_events_of_the_customer_count_no_more(tmp_path: Path):
    t = time.time() - 40_000
    others = [event for n in range(5) for event in life(f"u{n}", f"c{n}", t + n)]
    before = run(
        tmp_path / "a", [*others, *life(ANN, TALK, t), raw("csq.behavior.page_viewed", t + 900, "x", customer_id="u1")]
    )
    again = [*life(ANN, TALK, t + 0.5), *life(ANN, f"{TALK} 2", t + 20)]
    after = run(
        tmp_path / "b",
        [
            *others,
            *life(ANN, TALK, t),
            raw("csq.behavior.page_viewed", t + 900, "x", customer_id="u1"),
            forgotten(ANN, t + 1_000),
            *again,
        ],
    )

    changed, expected = counters(after), counters(before)
    assert changed.pop(KEPT) == {(): 14}
    assert expected.pop(KEPT) == {}
    assert changed.pop("csq_last_resolution_seconds_count") == {
        ("other", "other"): 1
    }  # counted when a record is dropped
    assert {name: of for name, of in changed.items() if of != expected[name]} == {}
    assert after["csq_state_entries"][("customers",)] == 5


def test_who_comes_back_later_begins_anew(tmp_path: Path):
    t = time.time() - 40_000
    values = run(tmp_path / "a", [*life(ANN, TALK, t), forgotten(ANN, t + 60), *life(ANN, TALK, t + 120)])

    assert values[KEPT][()] == 0
    assert values["csq_events_total"][("csq.message.created",)] == 2
    assert values["csq_state_entries"][("customers",)] == 1


def test_dead_letters_of_the_customer_are_removed_from_a_file_and_others_stay(tmp_path: Path):
    refused = [
        raw("csq.complaint.opened", customer_id=customer, severity=9) for customer in (ANN, "ann", f"x{ANN}", ANN)
    ]
    run(tmp_path / "a", [*refused, b"\xff"])
    letters = tmp_path / "a" / "out" / "csq.deadletters.jsonl"
    before = letters.read_bytes().splitlines()

    assert remove_letters_of(letters, ANN) == 2
    assert letters.read_bytes().splitlines() == [line for line in before if f'\\"{ANN}'.encode() not in line]

    letters.write_bytes(b"no letter\n")
    with pytest.raises(DeadLettersError, match="is no dead letter"):
        remove_letters_of(letters, ANN)
    assert letters.read_bytes() == b"no letter\n"


def found(places: Iterable[Path]) -> list[str]:
    """Files that hold an id of the customer."""
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    read = []
    for path in files:
        try:
            read.append((path.name, path.read_bytes()))
        except FileNotFoundError:  # the log of a partition, say
            continue
    signs = [each.encode() for each in (ANN, TALK)]
    return [name for name, content in read if any(sign in content for sign in signs)]


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [0.0, 1.2])
def test_no_byte_of_a_forgotten_customer_is_left_also_after_a_kill(tmp_path: Path, killed_after: float):
    state = tmp_path / "state"
    with EmbeddedBroker(["csq.events"]) as broker:
        settings = SETTINGS | {
            "kafka": {"brokers": [broker.bootstrap_servers]},
            "state": {"directory": str(state), "snapshot_seconds": 0.5},
        }
        (tmp_path / "csq.yaml").write_text(write(settings))
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        old = life(ANN, TALK, time.time() - 60)

        def send(events: Iterable[bytes]) -> None:
            for event in events:
                producer.produce("csq.events", event)
            producer.flush(5)

        send([*old, *(event for n in range(20) for event in life(f"u{n}", f"c{n}", time.time() - 60))])
        with Csq(tmp_path / "first", settings) as csq:
            csq.until_settled(147)
            csq.until(lambda: "part-" in str(found([state])))
            before = counters(csq.values())
            command = [*CSQ, "forget", ANN, "-c", str(tmp_path / "csq.yaml")]
            changed = subprocess.run(command, cwd=ROOT, env=ENVIRON, check=True, capture_output=True, text=True)  # noqa: S603 - our own
            assert changed.stdout == "csq.customer.forgotten sent to csq.events\n"
            time.sleep(killed_after)
            csq.process.kill()
            csq.process.wait()
        with Csq(tmp_path / "second", settings) as csq:
            csq.until(lambda: not found([state]) and not (state / PENDING).exists(), CLEAN_SECONDS)
            send([*old[:2], *life(ANN, f"{TALK} 2", time.time() - 50)])  # a redrive
            csq.until(lambda: csq.values()[KEPT].get((), 0) >= 6)
            time.sleep(3.0)  # some snapshots
            assert found([state, tmp_path / "first", tmp_path / "second"]) == []
            after = counters(csq.values())
            csq.stop()
    assert found([state]) == []
    assert after["csq_complaints_total"] == before["csq_complaints_total"]
    assert json.loads((state / "csq.json").read_text())["partitions"] == 4
