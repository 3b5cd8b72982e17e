"""Times of a row: the declared formats and zones, always to aware UTC."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from operators.importer.columns import ROW, Cells, Columns
from operators.importer.errors import CellError, MappingError, one_of, shown
from operators.importer.mapping import Time

Moment = Callable[[Cells], datetime]
"""The time of a row, in UTC; raises CellError."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,9})?")
_OFFSET = re.compile(r"([-+])([01][0-9]):?([0-5][0-9])")
_CACHED = 4096
"""Texts cached per time: the events of a row, and rows of the same moment, are parsed once."""


def compile_times(times: Mapping[str, Time], columns: Columns) -> dict[str, Moment]:
    """Each declared time, ready to be read from a row."""
    done: dict[str, Moment] = {}
    for name in times:
        _compile(name, times, columns, done, ())
    return done


def _compile(
    name: str,
    times: Mapping[str, Time],
    columns: Columns,
    done: dict[str, Moment],
    above: tuple[str, ...],
) -> Moment:
    """The time called `name`, kept in `done`: those after it share what it has parsed."""
    path, time = f"$.times.{name}", times[name]
    if name in done:
        return done[name]
    if time.column is not None:
        done[name] = _from_column(time.column, parser(time, path), columns)
    elif time.start is not None and time.step_seconds is not None:
        done[name] = _counted(time.start, time.step_seconds, columns.place(ROW))
    elif time.after is None or time.after not in times or time.after in (*above, name):
        others = one_of(other for other in times if other not in (*above, name)) or "none is left"
        raise MappingError(f"{path}.after: `{time.after}` is not another time; expected one of: {others}")
    else:
        earlier = _compile(time.after, times, columns, done, (*above, name))
        done[name] = _later(earlier, time.plus_seconds or 0.0)
    return done[name]


def _from_column(column: str, parse: Callable[[str], datetime], columns: Columns) -> Moment:
    place = columns.place(column)

    def read(cells: Cells) -> datetime:
        if not cells[place]:
            raise CellError(f"column `{column}` is empty; expected a time")
        try:
            return parse(cells[place])
        except CellError as error:
            raise CellError(f"column `{column}` is {error}") from None

    return read


def _counted(start: datetime, step_seconds: float, place: int) -> Moment:
    def read(cells: Cells) -> datetime:
        return _plus(start.astimezone(UTC), step_seconds * (int(cells[place]) - 1))

    return read


def _later(moment: Moment, seconds: float) -> Moment:
    def read(cells: Cells) -> datetime:
        return _plus(moment(cells), seconds)

    return read


def _plus(moment: datetime, seconds: float) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        raise CellError(f"{moment} plus {seconds} s is outside the years 1 to 9999") from None


def parser(time: Time, path: str) -> Callable[[str], datetime]:
    """What reads the texts of `time`, at `path` of the mapping; it raises CellError."""
    readers = [_reader(pattern, f"{path}.formats[{index}]") for index, pattern in enumerate(time.formats)]
    if not readers:
        raise MappingError(f"{path}.formats: is empty; expected at least one format")
    zone = None if time.zone is None else zone_of(time.zone, f"{path}.zone")

    @lru_cache(_CACHED)
    def parse(text: str) -> datetime:
        for read in readers:
            try:
                moment = read(text.strip())
                if moment.tzinfo is not None or zone is not None:
                    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
            raise CellError(f"{shown(text)}, a time without zone; expected one with an offset, or `zone` at {path}")
        raise CellError(f"{shown(text)}; expected a time as {' or '.join(time.formats)}")

    return parse


def _reader(pattern: str, path: str) -> Callable[[str], datetime]:
    """What reads `pattern`; it raises ValueError or OverflowError on other texts."""
    match pattern:
        case "iso":
            return datetime.fromisoformat
        case "epoch":
            return lambda text: _EPOCH + timedelta(seconds=_number(text))
        case "epoch_ms":
            return lambda text: _EPOCH + timedelta(milliseconds=_number(text))
    try:
        datetime.strptime("", pattern)  # noqa: DTZ007 - only to see whether the pattern is one
    except re.error:
        raise MappingError(f"{path}: {shown(pattern)} names a part twice; expected a pattern of strptime") from None
    except ValueError as error:
        if "%" not in pattern or "does not match" not in str(error):
            raise MappingError(
                f"{path}: {shown(pattern)}; expected iso, epoch, epoch_ms or a strptime pattern such as %d.%m.%Y %H:%M"
            ) from None
    return lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007 - the caller gives it the declared zone


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text)
    return float(text)


def zone_of(name: str, path: str = "$.zone") -> tzinfo:
    """The zone called `name`: IANA name or offset.

    >>> zone_of("+0530"), zone_of("Europe/Berlin")
    (datetime.timezone(datetime.timedelta(seconds=19800)), zoneinfo.ZoneInfo(key='Europe/Berlin'))
    """
    if (offset := _OFFSET.fullmatch(name)) is not None:
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise MappingError(
            f"{path}: {shown(name)} is not a zone; expected an IANA name such as Asia/Tokyo, or an "
            "offset such as +08:00"
        ) from None
