"""Decode: raw bytes to an event, or a refusal with a reason from a closed list.

Nothing here raises: bad input is a stream of its own, never an exception.
"""

import re
from typing import Literal, NamedTuple, get_args

import msgspec

from operators.domain.events import AnyEvent, FeedbackSubmitted

Reason = Literal[
    "too_large",
    "not_json",
    "too_deep",
    "not_an_event",
    "unknown_type",
    "invalid_field",
    "time_in_future",
    "too_old",
    "stage_failed",
]
"""Why something is a dead letter. `stage_failed` is ours: a stage met an error on an event it should have understood."""

REASONS: tuple[Reason, ...] = get_args(Reason)

_ENVELOPE = ("specversion", "id", "source", "type", "time", "data")
_PATH = re.compile(r" - at `(\$[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `([^`]+)`")
_QUOTED_VALUE = re.compile(r"^(Invalid (?:enum )?value) '.*'", re.DOTALL)

_decoder = msgspec.json.Decoder(AnyEvent)


class Refusal(NamedTuple):
    """Why an input is not an event; `detail` says where and what was expected and never quotes the input's text."""

    reason: Reason
    detail: str


def decode_one(
    raw: bytes, now: float, *, max_bytes: int, ahead_seconds: float, max_age_seconds: float
) -> tuple[float, AnyEvent] | Refusal:
    """Time (POSIX seconds) and event, or why not. The size is checked before anything is parsed.

    >>> decode_one(b'{"type": "csq.x"}', 0.0, max_bytes=99, ahead_seconds=300, max_age_seconds=1e9)
    Refusal(reason='unknown_type', detail='$.type: expected one of the types of docs/events.md')
    """
    if len(raw) > max_bytes:
        return Refusal("too_large", f"{len(raw)} bytes; expected at most {max_bytes} (setting intake.max_bytes)")
    try:
        event: AnyEvent = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        return _refused(str(error))
    except msgspec.DecodeError as error:
        return Refusal("not_json", f"{error}; expected one JSON object in UTF-8")
    except RecursionError:
        return Refusal("too_deep", "JSON nested too deeply; expected the depth of docs/events.md")
    except (UnicodeError, ValueError, OverflowError) as error:
        return Refusal("not_json", f"{type(error).__name__}; expected one JSON object in UTF-8")
    time = event.time.timestamp()
    if time > now + ahead_seconds:
        return Refusal(
            "time_in_future",
            f"$.time: more than {ahead_seconds:g} s ahead of the clock (setting intake.ahead_seconds)",
        )
    if time < now - max_age_seconds:
        return Refusal(
            "too_old",
            f"$.time: more than {max_age_seconds:g} s ago (setting intake.max_age_seconds)",
        )
    if type(event) is FeedbackSubmitted:
        data = event.data
        if not data.scale_min < data.scale_max:
            return Refusal("invalid_field", "$.data.scale_max: expected more than scale_min")
        if not data.scale_min <= data.score <= data.scale_max:
            return Refusal("invalid_field", "$.data.score: expected a score between scale_min and scale_max")
    return time, event


def _refused(message: str) -> Refusal:
    """Sort a validation error of msgspec into our reasons."""
    found = _PATH.search(message)
    path = found.group(1) if found else "$"
    what = message[: found.start()] if found else message
    what = _QUOTED_VALUE.sub(r"\1", what)  # the value may be somebody's text
    missing = _MISSING.match(what)
    if missing:
        path, what = f"{path}.{missing.group(1)}", "required field is missing"
    if path == "$.type" and not missing:
        return Refusal("unknown_type", "$.type: expected one of the types of docs/events.md")
    if path == "$" or path.removeprefix("$.") in _ENVELOPE and (missing or path in {"$.specversion", "$.data"}):
        return Refusal("not_an_event", f"{path}: {what}; expected a CloudEvents 1.0 envelope")
    return Refusal("invalid_field", f"{path}: {what}")
