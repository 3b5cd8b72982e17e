"""The command `csq forget`: the event that removes what csq keeps of a customer."""

import time
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import click
import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined] # public, only not marked as exported

from flows.commands.options import config_option, settings_of
from flows.commands.send import sender_to
from flows.settings.model import Settings
from flows.settings.privacy import pseudonyms_of
from operators.connectors.files.letters import DeadLettersError, remove_letters_of
from operators.connectors.kafka.errors import KafkaOutputError
from operators.documents.load import DocumentError
from operators.domain.wire.events import CustomerForgotten, CustomerId

CHURN = "csq.churn.scored"
"""The stream whose records have the customer as their key."""
SOURCE = "csq/forget"
ASK_SECONDS = 10.0


@click.command()
@click.argument("customer")
@click.option("--topic", help="Topic of events to write to; else the first of kafka.topics.")
@click.option(
    "--letters",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    multiple=True,
    help="File of dead letters from which the customer's are removed; several times for several.",
)
@config_option
def forget(customer: str, *, topic: str | None, letters: tuple[Path, ...], config: Path | None) -> None:
    """Remove what csq keeps of CUSTOMER, up to now, by an event that csq reads (docs/security.md).

    A topic of churn scores that is compacted gets a tombstone. Other topics keep their records for as long as their
    retention says.
    """
    settings = settings_of(config)
    topic = topic or settings.kafka.topics[0]
    try:
        pseudonyms = pseudonyms_of(settings.privacy)
    except DocumentError as error:
        raise click.UsageError(str(error)) from None
    sender = sender_to(settings, topic)
    try:
        sender.send(topic, customer, event_of(customer, time.time()))
        scores = settings.kafka.outputs.by_stream()[CHURN]
        if compacted := _is_compacted(settings, scores):
            sender.send(scores, customer if pseudonyms is None else pseudonyms.of(customer), None)
        sender.flush()
    except KafkaOutputError as error:
        raise click.ClickException(str(error)) from None
    for path in letters:
        try:
            click.echo(f"{remove_letters_of(path, customer)} dead letters removed from {path}")
        except DeadLettersError as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"csq.customer.forgotten sent to {topic}{f', a tombstone to {scores}' if compacted else ''}")


def event_of(customer: str, now: float) -> bytes:
    """The event that forgets a customer at `now` (POSIX seconds).

    Raises:
        ClickException: an event may not have this id.
    """
    event = CustomerForgotten(
        CustomerId(customer),
        specversion="1.0",
        id=token_hex(16),
        source=SOURCE,
        time=datetime.fromtimestamp(now, UTC),
    )
    raw = msgspec.json.encode(event)
    try:
        msgspec.json.decode(raw, type=CustomerForgotten)
    except msgspec.ValidationError as error:
        raise click.ClickException(f"this is no id of a customer: {error}") from None
    return raw


def _is_compacted(settings: Settings, topic: str) -> bool:
    """Whether a topic keeps the last record of each key for ever; false where brokers do not say."""
    admin = AdminClient(settings.kafka.client_config({}))
    asked = ConfigResource(ResourceType.TOPIC, topic)
    try:
        found = admin.describe_configs([asked], request_timeout=ASK_SECONDS)[asked].result(ASK_SECONDS + 1)
    except (KafkaException, TimeoutError):
        return False
    return "compact" in str(found["cleanup.policy"].value)
