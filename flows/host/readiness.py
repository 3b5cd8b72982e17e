"""Readiness of a live process: when reading may begin, and the reasons of `/readyz`."""

import time
from collections.abc import Callable
from itertools import starmap
from threading import Event

from operators.connectors.kafka.errors import KafkaOutputError, missing_output
from operators.connectors.kafka.status import SourceStatus
from operators.domain.models.model import Models


class Readiness:
    """Models are loaded, brokers answer, and output topics exist.

    Args:
        models: the models of this process.
        stop: set when the process stops.
        wait_seconds: how long a start waits for output topics.
        stopwatch: monotonic seconds.
    """

    def __init__(
        self, models: Models, stop: Event, wait_seconds: float, stopwatch: Callable[[], float] = time.monotonic
    ) -> None:
        self._models = models
        self._stop = stop
        self._wait_seconds = wait_seconds
        self._stopwatch = stopwatch
        self._due: float | None = None

    def obstacles(self, status: SourceStatus) -> list[str]:
        """Reasons why the process is not ready."""
        reasons = []
        if missing := self._models.missing():
            reasons.append(f"models not loaded yet: {', '.join(missing)}")
        if waits_for := self._models.waits_for:
            reasons.append(f"processes that do not have all models yet: {', '.join(waits_for)}")
        if not status.connected:
            reasons.append(f"Kafka: {status.reason}")
        if status.missing_outputs is None:
            reasons.append("Kafka: the brokers have not been asked for the output topics yet")
        else:
            reasons += starmap(missing_output, status.missing_outputs.items())
        if self._stop.is_set():
            reasons.append("stopping")
        return reasons

    def may_read(self, status: SourceStatus) -> bool:
        """Whether reading may begin. An output topic that is deleted later fails the delivery of its next record.

        Raises:
            KafkaOutputError: an output topic does not exist after `wait_seconds`.
        """
        return self._models.complete() and self._outputs_exist(status.missing_outputs)

    def _outputs_exist(self, missing: dict[str, str] | None) -> bool:
        if not missing:
            return missing is not None
        now = self._stopwatch()
        self._due = now + self._wait_seconds if self._due is None else self._due
        if now > self._due:
            topics = "\n".join(starmap(missing_output, missing.items()))
            raise KafkaOutputError(f"{topics}\nWaited {self._wait_seconds:g} s for them (kafka.delivery_seconds)")
        return False
