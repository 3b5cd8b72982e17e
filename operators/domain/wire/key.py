"""The Kafka key of an event: all events of a conversation are in one partition, in order."""

from typing import Any

import msgspec
from msgspec import Struct

from operators.domain.wire.events import AnyEvent


class _Data(Struct):
    conversation_id: Any = None
    customer_id: Any = None
    queue: Any = None


class _Envelope(Struct):
    id: Any = None
    data: _Data | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def key_of(event: AnyEvent) -> str:
    """Its conversation, else its customer, else its queue, else its own id."""
    return _key(event.data, event.id) or event.id


def key_in(raw: bytes) -> str:
    """The same for a raw event that may be anything; empty where it has no key.

    >>> key_in(b'{"id": "e1", "data": {"customer_id": "u17"}}'), key_in(b'{"id": "e1"}'), key_in(b"not JSON")
    ('u17', 'e1', '')
    >>> key_in(b'{"id": "e1", "data": {"conversation_id": "", "customer_id": 17}}')
    'e1'
    """
    try:
        envelope = _decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ""
    return _key(envelope.data, envelope.id)


def _key(data: object, name: object) -> str:
    candidates = (getattr(data, field, None) for field in ("conversation_id", "customer_id", "queue"))
    return next((key for key in (*candidates, name) if isinstance(key, str) and key), "")
