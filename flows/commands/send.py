"""The command `csq send`: events from files to a topic, with the key that csq expects."""

import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from flows.commands.options import config_option, door_of, settings_of
from flows.commands.rate import RateLimit, rate_option
from flows.commands.replay.input import check_readable, files_argument, progress
from flows.settings.model import Settings
from operators.connectors.files.jsonl import LONGEST, open_input, read_lines
from operators.connectors.kafka.connect import partitions_of
from operators.connectors.kafka.errors import KafkaInputError, KafkaOutputError
from operators.connectors.kafka.producer import Sender
from operators.domain.wire.decode import Door, Refusal
from operators.domain.wire.key import key_in

REPORTED = 20
"""Bad lines that are reported one by one; all are counted."""
SHOWN = 80
"""Characters of a bad line that are shown."""


class SentLine(NamedTuple):
    """A line that is not empty, and where it is: `FILE:LINE`."""

    place: str
    raw: bytes


@click.command()
@files_argument
@click.option("--topic", help="Topic to send to; by default the first of kafka.topics.")
@rate_option
@click.option("--unchecked", is_flag=True, help="Send every line unchanged, without validation.")
@click.option("--strict", is_flag=True, help="Stop at the first line that is not an event, instead of skipping it.")
@config_option
def send(
    files: tuple[str, ...],
    *,
    topic: str | None,
    rate: float | None,
    unchecked: bool,
    strict: bool,
    config: Path | None,
) -> None:
    """Send recorded events (JSON lines, plain or .gz; - is standard input) to Kafka.

    The key of each record is its conversation_id, else its customer_id: events of a conversation stay in order. A line
    that csq would refuse is reported and skipped. The command returns when the brokers have acknowledged every event.
    """
    settings = settings_of(config)
    topic = topic or settings.kafka.topics[0]
    for path in files:
        check_readable(path)
    sender = sender_to(settings, topic)
    door = None if unchecked else door_of(settings)
    began = time.monotonic()
    sending = Sending(sender, topic, door, RateLimit(rate), strict=strict)
    try:
        with progress(files, show=sys.stderr.isatty(), title="send") as bar:
            for count, line in enumerate(_lines(files), 1):
                sending.take(line)
                bar(count)
            sender.flush()
    except KafkaOutputError as error:
        raise click.ClickException(f"{error}. {_resend(sender.delivered)}") from None
    finally:
        sending.report_rest()
    seconds = time.monotonic() - began
    skipped = f"; {sending.bad:,} lines skipped" if sending.bad else ""
    click.echo(f"{sender.delivered:,} events sent to {topic} in {seconds:.1f} s{skipped}")


class Sending:
    """Checks lines and sends those that are events.

    Args:
        sender: sends records.
        topic: where to.
        door: checks a line; `None` sends every line.
        limit: bounds the rate.
        strict: whether a bad line ends the command.
    """

    def __init__(self, sender: Sender, topic: str, door: Door | None, limit: RateLimit, *, strict: bool) -> None:
        self.bad = 0
        """Lines that were skipped."""
        self._sender = sender
        self._topic = topic
        self._door = door
        self._limit = limit
        self._strict = strict

    def take(self, line: SentLine) -> None:
        """Send a line, or report it.

        Raises:
            KafkaOutputError: an earlier record was not delivered, or the producer's queue stays full.
            ClickException: the line is bad, and `strict` is set.
        """
        if (why := self._fault(line.raw)) is not None:
            self._report(f"{line.place}: {why}; got {_excerpt(line.raw)}")
            return
        self._limit.wait()
        self._sender.send(self._topic, key_in(line.raw), line.raw)

    def _fault(self, raw: bytes) -> str | None:
        if len(raw) > LONGEST:
            return f"longer than {LONGEST:,} bytes"
        if self._door is None:
            return None
        decoded = self._door.decode_one(raw, time.time())
        return f"{decoded.reason}: {decoded.detail}" if isinstance(decoded, Refusal) else None

    def _report(self, message: str) -> None:
        self.bad += 1
        if self._strict:
            self._sender.flush()
            raise click.ClickException(f"{message}. {_resend(self._sender.delivered)}")
        if self.bad <= REPORTED:
            click.echo(message, err=True)

    def report_rest(self) -> None:
        """Report how many bad lines were not reported one by one."""
        if self.bad > REPORTED:
            click.echo(f"and {self.bad - REPORTED:,} more bad lines", err=True)


def sender_to(settings: Settings, topic: str) -> Sender:
    """A sender to a topic that exists."""
    kafka = settings.kafka
    if not kafka.brokers:
        raise click.ClickException(
            "the settings name no brokers (kafka.brokers) to send to: name settings with -c, or set CSQ_KAFKA__BROKERS"
        )
    try:
        partitions_of(kafka.client_config({"group.id": "csq"}), [topic], kafka.connect_seconds, use="written to")
    except KafkaInputError as error:
        raise click.ClickException(str(error)) from None
    return Sender(kafka)


def _lines(files: tuple[str, ...]) -> Iterator[SentLine]:
    for path in files:
        try:
            with open_input(path) as file:
                for number, raw in enumerate(read_lines(file), 1):
                    if raw:
                        yield SentLine(f"{path}:{number}", raw)
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or error
            raise click.ClickException(
                f"{path}: cannot be read to its end: {why}; check whether the file is complete"
            ) from None


def _excerpt(raw: bytes) -> str:
    text = raw[: 4 * SHOWN].decode(errors="replace")
    return f"{text[:SHOWN]!r}{'...' if len(text) > SHOWN else ''}"


def _resend(delivered: int) -> str:
    return (
        f"{delivered:,} events were delivered before; the file can be sent again, csq drops repeats within "
        "dedupe.window_seconds"
    )
