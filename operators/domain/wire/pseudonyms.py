"""Pseudonyms: ids leave csq as keyed digests, the same for the same id, so consumers can still join by them.

Inside csq ids stay as they came. A record is changed once, on its way to the sink: the ids in its data, its key, and
the id of the event or the position of a dead letter where one of them occurs. The raw bytes of a dead letter stay.
"""

import hmac
from base64 import b32encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from operators.domain.mistakes import Mistake, MistakesError
from operators.domain.wire.outgoing import DEADLETTERS, Outgoing
from operators.domain.wire.personal import KINDS, Kind, kind_of

Field = Literal["customer_id", "conversation_id", "message_id"]
FIELDS: tuple[Field, ...] = ("customer_id", "conversation_id", "message_id")
NAMES = (*FIELDS, "queue", "channel", "segment")
"""Fields of outgoing data that producers fill."""
PREFIX = "p-"
BYTES = 16
"""Of the digest: two ids of a billion have the same pseudonym with a probability below 1e-20."""
KEY_BYTES = 16
"""Of the key, at least."""


class PrivacyParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a person leaves in published records."""

    pseudonyms: Annotated[
        tuple[Field | Kind, ...],
        Meta(
            description="Ids that leave as stable keyed pseudonyms (HMAC-SHA256): fields, all of whose values do, or "
            "kinds (email, phone, card): every id or name that looks like one. [] publishes ids as they came. A change "
            "gives consumers other ids."
        ),
    ] = ()
    key_file: Annotated[
        str | None,
        Meta(
            description="File with the key of the pseudonyms, 16 bytes or more (openssl rand -hex 32). The same key "
            "gives the same pseudonyms, so all processes need the same; who has it can find the id of a pseudonym."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse pseudonyms without a key."""
        if self.pseudonyms and self.key_file is None:
            raise MistakesError(Mistake(("pseudonyms",), "privacy.pseudonyms needs privacy.key_file"))


class Pseudonyms:
    """Gives ids their pseudonyms.

    >>> pseudonyms = Pseudonyms(b"0123456789abcdef", ("customer_id",))
    >>> pseudonyms.of("ann@example.com")
    'p-t5yowty5t4azjvmlycgedtrlhm'
    """

    def __init__(self, key: bytes, chosen: tuple[Field | Kind, ...]) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes; expected {KEY_BYTES} or more")
        self._key = key
        self._fields = frozenset(chosen) & frozenset(FIELDS)
        self._kinds = frozenset(chosen) & frozenset(KINDS)

    def of(self, name: str) -> str:
        """The pseudonym of an id, whichever field it is in."""
        digest = hmac.digest(self._key, name.encode("utf-8", "surrogatepass"), "sha256")[:BYTES]
        return PREFIX + b32encode(digest).decode().rstrip("=").lower()

    def leave(self, record: Outgoing) -> Outgoing:
        """The record as it is published."""
        if record.stream == DEADLETTERS:
            return self._letter(record)
        event = msgspec.json.decode(record.value)
        data: dict[str, Any] = event["data"]
        changed = self._ids_in(data)
        data |= {name: changed[value] for name in NAMES if (value := data.get(name)) in changed}
        for reason in data.get("reasons", ()):
            reason["because"] = self._within(reason["because"], changed)
        cause, mark, suffix = event["id"].rpartition("#")
        event["id"] = self._within(cause, changed) + mark + suffix
        return Outgoing(record.stream, self._within(record.key, changed), msgspec.json.encode(event), record.headers)

    def _letter(self, record: Outgoing) -> Outgoing:
        """A dead letter: what it tells of the record; the record itself is as it came."""
        try:
            data = msgspec.json.decode(record.value, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, ValueError):
            data = {}
        inner = data.get("data")
        changed = self._ids_in({**data, **inner} if isinstance(inner, dict) else data)
        headers = tuple(
            (name, self._within(value, changed) if name in {"position", "detail"} else value)
            for name, value in record.headers
        )
        by_name = dict(headers)
        return Outgoing(record.stream, f"{by_name['origin']}@{by_name['position']}", record.value, headers)

    def _ids_in(self, data: Mapping[str, Any]) -> dict[str, str]:
        """The ids of a record that have to be changed, and their pseudonyms."""
        named = ((name, data.get(name)) for name in NAMES)
        return {
            value: self.of(value)
            for name, value in named
            if isinstance(value, str) and value and (name in self._fields or kind_of(value) in self._kinds)
        }

    def _within(self, text: str, changed: Mapping[str, str]) -> str:
        """A text without the ids that it may have been made of: the pseudonym of all of it, if it has one in it."""
        if text in changed:
            return changed[text]
        for name in sorted(changed, key=len, reverse=True):
            text = text.replace(name, changed[name])
        return self.of(text) if self._kinds and kind_of(text) in self._kinds else text
