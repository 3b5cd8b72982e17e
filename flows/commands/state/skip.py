"""The command `csq state skip`: pass a record that cannot be read, which becomes a dead letter."""

from datetime import UTC, datetime
from pathlib import Path

import click
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.commands.options import config_option, settings_of
from flows.settings.model import Settings
from operators.connectors.kafka.apart import end_of_unreadable, is_readable
from operators.connectors.kafka.errors import KafkaInputError, input_error
from operators.connectors.kafka.identity import topic_ids
from operators.connectors.kafka.params import part_name
from operators.connectors.kafka.skips import Skip, add_skip, next_skip, skips_in
from operators.connectors.kafka.source import consumer_config
from operators.engine.lease import refuse_used
from operators.engine.positions import TopicId
from operators.engine.store import StoreError


@click.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(0))
@click.argument("offset", type=click.IntRange(0))
@click.option("--until", type=click.IntRange(1), help="First offset to read again; without it csq finds it by reading.")
@config_option
def skip(*, topic: str, partition: int, offset: int, until: int | None, config: Path | None) -> None:
    """Skip the record at OFFSET, which cannot be read, from the next start on; csq must not run.

    csq tries to read it first. The records of its batch are skipped too, because they come in one piece. A dead letter
    (unreadable) with their coordinates stands for them.
    """
    settings = settings_of(config)
    name = part_name(topic, partition)
    if settings.state.directory is None:
        raise click.ClickException("state.directory is not set: without it csq keeps no position that could be passed")
    if topic not in settings.kafka.topics:
        raise click.ClickException(f"{topic}: not among kafka.topics ({', '.join(settings.kafka.topics)})")
    if until is not None and until <= offset:
        raise click.UsageError(f"--until {until}: expected an offset behind {offset}")
    folder = Path(settings.state.directory)
    try:
        refuse_used(folder)
        known = next_skip(skips_in(folder), topic, partition, offset)
        if known is not None and known.begin <= offset:
            raise click.ClickException(f"{known}: skipped already, on {known.at}")
        of = _id_of(settings, topic)
        end = until or _end_of(settings, topic, partition, offset)
        if end is None:
            raise click.ClickException(f"{name} offset {offset} can be read: nothing is skipped")
        made = Skip(topic, partition, offset, end, datetime.now(UTC).isoformat(timespec="seconds"), of)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        add_skip(folder, made)
    except (KafkaInputError, StoreError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{folder}: cannot be written: {error.strerror}") from None
    click.echo(f"{made}: skipped from the next start on; the dead letter has the reason unreadable", err=True)


def _id_of(settings: Settings, topic: str) -> TopicId:
    """The id of the present topic: offsets of one that is made anew are others."""
    kafka = settings.kafka
    admin = AdminClient(kafka.client_config({}))
    try:
        cluster = admin.list_topics(timeout=kafka.connect_seconds)
    except KafkaException as error:
        raise input_error(None, error.args[0]) from None
    return topic_ids(cluster, admin, [topic], kafka.connect_seconds)[topic]


def _end_of(settings: Settings, topic: str, partition: int, offset: int) -> int | None:
    """The first offset behind the batch that cannot be read; `None` if it can."""
    config = consumer_config(settings.kafka)
    consumer = Consumer(config)
    try:
        where = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(where, timeout=settings.kafka.connect_seconds)
    except KafkaException as error:
        raise input_error(part_name(topic, partition), error.args[0]) from None
    finally:
        consumer.close()
    if not low <= offset < high:
        raise click.ClickException(f"{part_name(topic, partition)}: the broker holds {low} to {high - 1}, not {offset}")
    if is_readable(config, topic, partition, offset):
        return None
    return end_of_unreadable(config, topic, partition, offset, high)
