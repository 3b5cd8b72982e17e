"""The fence of the output topics: two deployments must not write to one set of outputs.

The first process of a run marks its records with a header, `csq-run`: the name of the run, constant for the process.
Before it reads anything it looks at the last records of each output partition. While it runs it looks again every ten
seconds, at records behind the end that it found at the last look: offsets say what is new, not clocks.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from threading import Event, Thread
from time import monotonic, time
from typing import Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators.connectors.kafka.errors import END_OF_PARTITION, KafkaOutputError
from operators.connectors.kafka.params import KafkaParams, part_name

log = logging.getLogger(__name__)

HEADER: Final = "csq-run"
LOOK_SECONDS: Final = 10.0
LAST: Final = 20
"""Records of each partition that a look reads. Processes of a cluster but the first write without a mark."""
POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 60.0
"""Time for a deployment that is replaced to notice; it looks six times meanwhile."""
_NOT_ALLOWED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})

Part = tuple[str, int]
"""Topic and number of a partition."""


class OutputsInUseError(KafkaOutputError):
    """Another deployment has written to the output topics shortly before this start."""


class OutputsSharedError(KafkaOutputError):
    """Another deployment writes to the output topics: a restart does not correct it."""


class Marked(NamedTuple):
    """A record of an output partition with the name of a run."""

    where: str
    run: str
    at: float | None
    """POSIX seconds of the record; `None` where the brokers keep no time."""


class OutputFence:
    """Looks at the output topics of one run.

    Args:
        params: the connection.
        topics: output topics; those that do not exist are left out.
        run: name of this run.
        earlier: earlier runs of the same store, whose records are no reason to stop.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        params: KafkaParams,
        topics: Collection[str],
        run: str,
        earlier: Collection[str],
        clock: Callable[[], float] = time,
    ) -> None:
        self._params = params
        self._topics = sorted(set(topics))
        self._run = run
        self._earlier = frozenset(earlier)
        self._clock = clock
        self._ends: dict[Part, int] = {}
        own = {
            "group.id": "csq",  # librdkafka requires one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # retention may take away what is about to be read
        }
        self._consumer = Consumer(params.client_config(own))

    def check(self) -> bool:
        """Look at the last records before this run writes any; returns whether they may be read.

        Raises:
            OutputsInUseError: another deployment has written one within `kafka.fence_seconds`.
            KafkaOutputError: the brokers do not answer.
        """
        try:
            found = list(self._look())
        except KafkaException as error:
            if error.args[0].code() in _NOT_ALLOWED:
                log.warning(
                    "Kafka: this user may not read the output topics: another deployment that writes to them is not "
                    "noticed. Allow it to read and describe %s",
                    ", ".join(self._topics),
                    extra={"event": "outputs_not_watched"},
                )
                return False
            raise KafkaOutputError(f"Kafka: the output topics cannot be read: {error.args[0].str()}") from None
        now, seconds = self._clock(), self._params.fence_seconds
        for one in found:
            if seconds and one.run not in self._earlier and one.at is not None and one.at > now - seconds:
                raise OutputsInUseError(
                    f"Kafka: the record at {one.where} was written {max(now - one.at, 0.0):.0f} s ago by run "
                    f"{one.run}, which is no earlier run of this store: another deployment writes to these outputs. "
                    "Stop it, or give each deployment its own kafka.outputs. After an intended move to another store "
                    f"wait {seconds:g} s, or set kafka.fence_seconds to 0 for one start"
                )
        return True

    def watch(self, stop: Event, on_found: Callable[[OutputsSharedError], None]) -> None:
        """Look again, from a thread, until `stop` is set; `on_found` gets what was found, once.

        For the first `GRACE_SECONDS` records of others are passed over: a deployment that this one replaces needs a
        moment to notice.
        """
        Thread(target=self._watch, args=(stop, on_found), name="csq-output-fence", daemon=True).start()

    def _watch(self, stop: Event, on_found: Callable[[OutputsSharedError], None]) -> None:
        strict_from = monotonic() + GRACE_SECONDS
        while not stop.wait(LOOK_SECONDS):
            try:
                found = [one for one in self._look() if one.run != self._run]
            except (KafkaException, KafkaOutputError) as error:  # an outage is noticed and reported by others
                log.debug("Kafka: the output topics could not be read: %s", error)
                continue
            if found and monotonic() > strict_from:
                on_found(
                    OutputsSharedError(
                        f"Kafka: the record at {found[0].where} was written by run {found[0].run} while this run, "
                        f"{self._run}, writes to the same topic: two deployments share these outputs. This one stops. "
                        "Give each its own kafka.outputs, or run one of them only"
                    )
                )
                break
        self._consumer.close()

    def _look(self) -> Iterator[Marked]:
        """The marks of the last records of each partition, behind the end of the last look."""
        ends = self._ends_of()
        begins = {part: max(low, high - LAST, self._ends.get(part, 0)) for part, (low, high) in ends.items()}
        highs = {part: high for part, (_, high) in ends.items()}
        self._ends |= highs
        left = {part for part, high in highs.items() if begins[part] < high}
        self._consumer.assign([TopicPartition(*part, begins[part]) for part in sorted(left)])
        try:
            yield from self._read(left, highs)
        finally:
            self._consumer.unassign()  # or it fetches on

    def _read(self, left: set[Part], ends: Mapping[Part, int]) -> Iterator[Marked]:
        deadline = monotonic() + self._params.connect_seconds
        while left:
            for message in self._consumer.consume(LAST, POLL_SECONDS):
                part, offset, error = (
                    (message.topic() or "", message.partition() or 0),
                    message.offset(),
                    message.error(),
                )
                if error is not None and error.code() != END_OF_PARTITION:
                    raise KafkaException(error)
                if part not in ends:  # of an earlier look
                    continue
                if error is not None or (offset or 0) >= ends[part] - 1:
                    left.discard(part)
                if error is None and (run := _run_of(message)):
                    yield Marked(f"{part_name(*part)} offset {offset}", run, _time_of(message))
            if monotonic() > deadline:
                raise KafkaOutputError(
                    f"Kafka: the output topics cannot be read: no answer in {self._params.connect_seconds:g} s for "
                    f"{part_name(*min(left))}. Check that this user may read them"
                )

    def _ends_of(self) -> dict[Part, tuple[int, int]]:
        """First offset and the one behind the last, by partition."""
        parts: list[Part] = []
        for topic in self._topics:
            found = self._consumer.list_topics(topic, timeout=self._params.connect_seconds).topics[topic]
            if found.error is not None and found.error.code() in _NOT_ALLOWED:
                raise KafkaException(found.error)
            parts += [(topic, number) for number in sorted(found.partitions) if found.error is None]
        low, high = (self._ask(parts, at) for at in (OFFSET_BEGINNING, OFFSET_END))
        return {part: (low[part], high[part]) for part in parts}

    def _ask(self, parts: list[Part], at: int) -> dict[Part, int]:
        """One end of each partition; Kafka's protocol encodes the ends as negative times."""
        wanted = [TopicPartition(*part, at) for part in parts]
        found = self._consumer.offsets_for_times(wanted, timeout=self._params.connect_seconds) if wanted else []
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return {(one.topic, one.partition): one.offset for one in found}


def _run_of(message: Message) -> str:
    for name, value in dict(message.headers() or ()).items():
        if name == HEADER:
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
    return ""


def _time_of(message: Message) -> float | None:
    kind, milliseconds = message.timestamp()
    return milliseconds / 1000 if kind else None
