"""Two processes with a real broker, and records in their models topic that none of their learners has written."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.clusters import Cluster, records
from tests.flows.host.cluster.test_two_processes import Topics
from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENGLISH = "sentiment/en"
JUNK = 3_000


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Topics:
    return Topics(kafka, tmp_path)


def whole(topics: Topics) -> list[dict[str, Any]]:
    """The records of the whole English model."""
    decoded = [msgspec.msgpack.decode(raw) for raw in records(topics.address, topics.models)]
    return [each for each in decoded if each["kind"] == "weights" and each["model"] == ENGLISH and each["whole"]]


def forged(record: dict[str, Any], value: float, **changes: str) -> bytes:
    """A part of the model with the same weight for each of its features."""
    low, high = record["weights"]["cleared"]
    features, rows = np.arange(low, high, dtype="<i4"), np.full((high - low, 3), value, "<f4")
    weights = {**record["weights"], "features": features.tobytes(), "weights": rows.tobytes()}
    return msgspec.msgpack.encode({**record, **changes, "version": 1_000_000, "weights": weights})


def refused(cluster: Cluster) -> list[dict[str, float]]:
    """By process: the refused records by reason."""
    return [
        {labels[0]: count for labels, count in values["csq_model_updates_refused_total"].items() if count}
        for values in cluster.each()
    ]


def versions(cluster: Cluster) -> set[float]:
    return {values["csq_model_version"][(ENGLISH,)] for values in cluster.each()}


def test_weights_of_others_are_refused_counted_and_used_by_no_process(kafka: Kafka, topics: Topics) -> None:
    with topics.run("--processes", "2", count=2) as cluster:
        cluster.until(cluster.is_ready)
        parts = whole(topics)
        [learner] = {part["process"] for part in parts}
        other = "p1" if learner == "p0" else "p0"
        changes = [
            {"cluster": "bank"},  # another deployment
            {"run": "earlier"},  # an earlier run of this one
            {"process": "p9"},  # no process of this cluster
            {"process": other},  # a process that does not train this model
        ]
        values = [forged(part, 5.0, **change) for change in changes for part in parts]
        values += [forged(part, 3e38) for part in parts]  # as if the learner had written it
        values += [os.urandom(100) for _ in range(JUNK)]
        kafka.produce(topics.models, [(f"forged/{place}", value) for place, value in enumerate(values)])
        count = float(len(parts))
        expected = {"other_cluster": count, "other_run": count, "other_process": 2 * count, "not_a_record": JUNK}
        cluster.until(lambda: all(each.get("not_a_record") == JUNK for each in refused(cluster)))
        found = refused(cluster)
        # The learner's own process does not apply what carries its name; the other one does, within bounds.
        assert sorted(each.pop("unusable", 0.0) for each in found) == [0.0, count]
        assert found == [expected, expected]
        assert versions(cluster) == {0.0}
        logged = [entry for entry in cluster.entries() if entry.get("event") == "model_update_refused"]
        assert 2 <= len(logged) <= 4
        assert cluster.stop() == 0, cluster.log()


def test_a_second_deployment_on_the_models_topic_does_not_start(kafka: Kafka, topics: Topics, tmp_path: Path) -> None:
    second = Topics(kafka, tmp_path / "second")
    second.models = topics.models
    (tmp_path / "second").mkdir()
    with topics.run("--processes", "2", count=2) as cluster:
        cluster.until(cluster.is_ready)
        with second.run("--processes", "2", count=2) as other:
            other.until(lambda: "Give each deployment its own kafka.models_topic" in other.log())
        assert f"Kafka: topic {topics.models} for the models: the record at offset " in other.log()
        assert cluster.is_ready()
        assert refused(cluster) == [{}, {}]
