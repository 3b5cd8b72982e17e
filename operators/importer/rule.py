"""Rules: one event of a mapping, checked against the event's own struct and compiled to a few look-ups per row."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, cast

import msgspec

from operators.domain.wire.events import AnyEvent
from operators.importer.columns import Cells, Columns
from operators.importer.errors import CellError, MappingError, one_of, shown
from operators.importer.mapping import EventMapping, Mapping, Scalar, Value, Values
from operators.importer.schema import Fields, FieldTarget, event_types
from operators.importer.skipped import Skipped
from operators.importer.times import Moment
from operators.importer.values import Get, SkippedValue, compile_value, compile_when

_ID = FieldTarget("text", required=True)
_PATH = re.compile(r" - at `\$\.([a-z_.]+)`$")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


class RuleResult(NamedTuple):
    """An event: when it happened (UTC), its type, its JSON."""

    time: datetime
    type: str
    raw: bytes


class _Slot(NamedTuple):
    """A field of the data: in which part (None: the top), under which key, its full name, and what fills it."""

    part: str | None
    key: str
    name: str
    get: Get


class Rule(NamedTuple):
    """One event that a row may become."""

    type: str
    source: str
    applies: Callable[[Cells], bool]
    time: Moment
    id: Get
    parts: tuple[str, ...]
    slots: tuple[_Slot, ...]
    skipped: Skipped

    def make(self, cells: Cells) -> RuleResult | None:
        """The event of a row, checked; None if the row does not become one.

        Raises:
            CellError: with the field, the value and the expectation.
        """
        if not self.applies(cells):
            return None
        event = self._event(cells)
        if event is None:
            return None
        try:
            raw = _encoder.encode(event)
            _decoder.decode(raw)
        except UnicodeEncodeError:
            raise CellError(f"{self.type}: a cell holds bytes that are not text in `file.encoding`") from None
        except msgspec.ValidationError as error:
            raise CellError(f"{self.type}: {_explain(str(error), event)}") from None
        return RuleResult(cast("datetime", event["time"]), self.type, raw)

    def _event(self, cells: Cells) -> dict[str, object] | None:
        data: dict[str, object] = {part: {} for part in self.parts}
        where = "time"
        try:
            time = self.time(cells)
            where = "id"
            if isinstance(ident := self.id(cells), SkippedValue):
                self._count(where, ident)
                return None
            for part, key, where, get in self.slots:
                if isinstance(value := get(cells), SkippedValue):
                    self._count(where, value)
                    return None
                if value is not None:
                    place = data if part is None else cast("dict[str, object]", data[part])
                    place[key] = value
        except CellError as error:
            raise CellError(f"{self.type}, {where}: {error}") from None
        return {
            "specversion": "1.0",
            "type": self.type,
            "source": self.source,
            "id": ident,
            "time": time,
            "data": data,
        }

    def _count(self, where: str, skip: SkippedValue) -> None:
        self.skipped.add(f"{self.type}, {where}: {skip.origin}", skip.text)


def _explain(message: str, event: object) -> str:
    """What msgspec expected, and the value."""
    if (found := _PATH.search(message)) is None:
        return message
    for key in found[1].split("."):
        event = event.get(key) if isinstance(event, dict) else None
    return f"{found[1]} is {shown(event)}; {message[: found.start()]}"


class Names(NamedTuple):
    """What a mapping's fields may refer to."""

    columns: Columns
    times: dict[str, Moment]
    skipped: Skipped


def shared_data(mapping: Mapping, event: EventMapping) -> Values:
    """The fields of `$.data` that `event` takes: it has them and does not set them itself."""
    fields = event_types().get(event.type)
    if fields is None:
        return {}
    return {name: value for name, value in mapping.data.items() if fields.find(name) and name not in event.data}


def compile_rule(mapping: Mapping, event: EventMapping, names: Names, path: str) -> Rule:
    """The rule of `event`, at `path` of the mapping.

    Raises:
        MappingError: with the path of the key, the value and the expectation.
    """
    fields = event_types().get(event.type)
    if fields is None:
        raise MappingError(f"{path}.type: {shown(event.type)}; expected one of {one_of(event_types())}")
    if event.time not in names.times:
        raise MappingError(f"{path}.time: `{event.time}` is not a time; expected one of {one_of(names.times)}")
    shared = shared_data(mapping, event)
    _check_fields(event.type, fields, shared | event.data, f"{path}.data")
    slots = _slots(fields, shared, names, "$.data") + _slots(fields, event.data, names, f"{path}.data")
    parts = {
        *fields.dictionaries,
        *(slot.part for slot in slots if slot.part is not None),
    }
    return Rule(
        event.type,
        mapping.source,
        compile_when(event.when, names.columns, f"{path}.when"),
        names.times[event.time],
        compile_value(event.id, _ID, names.columns, f"{path}.id"),
        tuple(sorted(parts)),
        tuple(slots),
        names.skipped,
    )


def _check_fields(event: str, fields: Fields, data: Values, path: str) -> None:
    for name in data:
        if fields.find(name) is None:
            raise MappingError(f"{path}.{name}: {event} has no such field; expected one of {one_of(fields.names())}")
    missing = [name for name, target in fields.targets.items() if target.required and name not in data]
    if missing:
        raise MappingError(f"{path}: {event} needs {one_of(missing)}; give it here or in $.data")


def _slots(fields: Fields, data: Values, names: Names, path: str) -> list[_Slot]:
    slots = []
    for name, value in data.items():
        target = cast("FieldTarget", fields.find(name))
        get = _compile_field(value, target, names, f"{path}.{name}")
        part, dot, key = name.partition(".")
        slots.append(_Slot(part, key, f"data.{name}", get) if dot else _Slot(None, name, f"data.{name}", get))
    return slots


def _compile_field(value: Scalar | Value, target: FieldTarget, names: Names, path: str) -> Get:
    if target.kind != "time":
        return compile_value(value, target, names.columns, path)
    if not isinstance(value, str) or value not in names.times:
        raise MappingError(f"{path}: is a time; expected the name of one of `times`: {one_of(names.times)}")
    return names.times[value]
