"""Decode: raw bytes to an event, or a refusal with a reason from a closed list.

Nothing here raises: bad input is a stream of its own, never an exception.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from operators.domain.wire.events import AnyEvent, ConversationMerged, FeedbackSubmitted, MessageCreated, MessageEdited

Reason = Literal[
    "too_large",
    "not_json",
    "too_deep",
    "not_an_event",
    "unknown_type",
    "invalid_field",
    "time_in_future",
    "too_old",
    "unreadable",
    "unknown_conversation",
    "stage_failed",
]
"""Why something is a dead letter.

`unknown_conversation` is a merge into a conversation that csq does not know. `stage_failed` is a defect of csq: a stage
failed on an accepted event.
"""

REASONS: tuple[Reason, ...] = get_args(Reason)

_ENVELOPE = ("specversion", "id", "source", "type", "time", "data")
_PATH = re.compile(r" - at (?:`key` in )?`(\$[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `([^`]+)`")
_VALUE = re.compile(r"^(Invalid (?:enum )?value).*", re.DOTALL)

_decode = msgspec.json.Decoder(AnyEvent).decode


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an input is not an event; `detail` has the path and the expectation, never the text."""

    reason: Reason
    detail: str


class UnreadRecord(bytes):
    """Stands for records whose bytes cannot be had; its own bytes say which, and are no JSON."""


class Door:
    """Accepts events: at most `max_bytes`, at most `ahead_seconds` ahead of the clock, at most `max_age_seconds` old.

    >>> Door(99, 300.0, 1e9).decode_one(b'{"type": "csq.x"}', 0.0)
    Refusal(reason='unknown_type', detail='$.type: expected one of the types of docs/events.md')
    """

    def __init__(self, max_bytes: int, ahead_seconds: float, max_age_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._ahead = ahead_seconds
        self._max_age = max_age_seconds

    def decode_one(self, raw: bytes, now: float) -> tuple[float, AnyEvent] | Refusal:  # noqa: PLR0911  one way out per reason
        """Event time (POSIX seconds) and event, or why not; the size is checked before anything is parsed."""
        if len(raw) > self._max_bytes:
            detail = f"{len(raw)} bytes; expected at most {self._max_bytes} (setting intake.max_bytes)"
            return Refusal("too_large", detail)
        try:
            event: AnyEvent = _decode(raw)
            time = event.time.timestamp()
        except msgspec.ValidationError as error:
            return _refused(str(error))
        except msgspec.DecodeError as error:
            return Refusal("not_json", f"{_utf16(raw) or error}; expected one JSON object in UTF-8")
        except RecursionError:
            return Refusal("too_deep", "JSON nested too deeply; expected the depth of docs/events.md")
        except (UnicodeError, ValueError, OverflowError) as error:
            return Refusal("not_json", f"{_utf16(raw) or type(error).__name__}; expected one JSON object in UTF-8")
        if time > now + self._ahead:
            detail = f"$.time: more than {self._ahead:g} s ahead of the clock (setting intake.ahead_seconds)"
            return Refusal("time_in_future", detail)
        if time < now - self._max_age:
            return Refusal("too_old", f"$.time: more than {self._max_age:.0f} s ago (setting intake.max_age_seconds)")
        check = _CHECKS.get(type(event))
        return (check and check(event)) or (time, event)


def _utf16(raw: bytes) -> str:
    """What is wrong with JSON in UTF-16; empty for anything else."""
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:2]
    return "this is UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)" if is_utf16 else ""


def _without_text(event: MessageCreated | MessageEdited) -> Refusal | None:
    if event.data.text is None and event.data.content_type == "text":
        return Refusal("invalid_field", "$.data.text: null; expected text, or content_type image or voice")
    return None


def _into_itself(event: ConversationMerged) -> Refusal | None:
    if event.data.into == event.data.conversation_id:
        return Refusal("invalid_field", "$.data.into: the conversation itself; expected another one")
    return None


def _off_scale(event: FeedbackSubmitted) -> Refusal | None:
    data = event.data
    if not data.scale_min < data.scale_max:
        return Refusal("invalid_field", "$.data.scale_max: expected more than scale_min")
    if not data.scale_min <= data.score <= data.scale_max:
        return Refusal("invalid_field", "$.data.score: expected a score between scale_min and scale_max")
    return None


_CHECKS: dict[type, Callable[[Any], Refusal | None]] = {
    FeedbackSubmitted: _off_scale,
    MessageCreated: _without_text,
    MessageEdited: _without_text,
    ConversationMerged: _into_itself,
}
"""What JSON Schema cannot say, by type of event."""


def _refused(message: str) -> Refusal:
    """Sort a validation error of msgspec into our reasons."""
    found = _PATH.search(message)
    path = found.group(1) if found else "$"
    what = message[: found.start()] if found else message
    what = _VALUE.sub(r"\1", what)  # the value may be text of a customer
    missing = _MISSING.match(what)
    if missing:
        path, what = f"{path}.{missing.group(1)}", "required field is missing"
    if path == "$.type" and not missing:
        return Refusal("unknown_type", "$.type: expected one of the types of docs/events.md")
    if path == "$" or (path.removeprefix("$.") in _ENVELOPE and (missing or path in {"$.specversion", "$.data"})):
        return Refusal("not_an_event", f"{path}: {what}; expected a CloudEvents 1.0 envelope")
    return Refusal("invalid_field", f"{path}: {what}")
