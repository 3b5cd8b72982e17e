"""The plan: a mapping, read from its file, checked, and compiled to convert rows to events."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from operators.documents.load import read_source
from operators.documents.validator import Problem
from operators.documents.yaml import Place, name_of
from operators.importer.columns import Cells, Columns
from operators.importer.errors import MappingError
from operators.importer.groups import Grouping, compile_group, derived_columns
from operators.importer.mapping import Mapping, Scalar, Value
from operators.importer.rows import check_file
from operators.importer.rule import Names, Rule, RuleResult, compile_rule, shared_data
from operators.importer.skipped import Skipped
from operators.importer.times import compile_times
from operators.importer.values import compile_when


class Plan(NamedTuple):
    """A mapping ready to run."""

    columns: Columns
    grouping: Grouping | None
    applies: Callable[[Cells], bool]
    rules: tuple[Rule, ...]
    skipped: Skipped
    """What `skip` has left out so far."""

    def make(self, cells: Cells) -> list[RuleResult]:
        """All events of a row, in the order of the mapping: all are good, or CellError is raised."""
        if not self.applies(cells):
            return []
        return [made for rule in self.rules if (made := rule.make(cells)) is not None]


def load_mapping(path: Path) -> Mapping:
    """The mapping in the YAML file `path`, checked as far as it can be without the data.

    Raises:
        DocumentError: with all mistakes of its structure, or the first mistake about events, times and columns.
    """
    source = read_source(path, "a mapping such as those in config/imports (docs/importing.md)")
    mapping = source.build(Mapping)
    try:
        compile_mapping(mapping)
    except MappingError as error:
        raise source.error([_problem(error, source.lines)]) from None
    return mapping


def churn_attributes(mapping: Mapping) -> dict[str, str]:
    """The attributes of customers that `mapping` makes, and as what `churn.attributes` has to declare them."""
    given = {
        name.removeprefix("attributes."): value
        for event in mapping.events
        if event.type == "csq.customer.updated"
        for name, value in (shared_data(mapping, event) | event.data).items()
        if name.startswith("attributes.")
    }
    return {name: "number" if _is_number(value) else "category" for name, value in given.items()}


def _is_number(value: Scalar | Value) -> bool:
    if not isinstance(value, Value):
        return not isinstance(value, str)
    if value.map:
        return not any(isinstance(one, str) for one in value.map.values())
    return value.type in {"number", "integer", "boolean"}


def _problem(error: MappingError, places: Iterable[Place]) -> Problem:
    """A mistake with its place: the message begins with the path of the key, below `$`."""
    path, _, text = str(error).partition(": ")
    name = path.removeprefix("$").removeprefix(".")
    around = max((place for place in places if name.startswith(name_of(place))), key=lambda place: len(name_of(place)))
    rest = name.removeprefix(name_of(around)).removeprefix(".")
    return Problem((*around, rest) if rest else around, text)


def compile_mapping(mapping: Mapping) -> Plan:
    """The plan of `mapping`.

    Raises:
        MappingError: with the path of the key, the value and the expectation.
    """
    check_file(mapping.file)
    columns = Columns(derived_columns(mapping.group))
    times = compile_times(mapping.times, columns)
    grouping = None if mapping.group is None else compile_group(mapping.group, columns, times)
    applies = compile_when(mapping.when, columns, "$.when")
    skipped = Skipped()
    rules = tuple(
        compile_rule(mapping, event, Names(columns, times, skipped), f"$.events[{index}]")
        for index, event in enumerate(mapping.events)
    )
    used = {name for event in mapping.events for name in shared_data(mapping, event)}
    if unused := mapping.data.keys() - used:
        raise MappingError(
            f"$.data.{min(unused)}: no event takes it; expected a field of an event that does not set it"
        )
    return Plan(columns, grouping, applies, rules, skipped)
