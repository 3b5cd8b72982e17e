"""Import: exports of other systems to events, by a mapping that a YAML file declares.

The way of a row: `rows` cuts a CSV file into rows, or `query` asks DuckDB for them, `groups` adds what a row can only
learn from others, `plan` makes its events by what the `mapping` declares, `order` sorts them by time, `write` writes
them. Of an unknown file `sample` makes a table, `guess` says what its columns are, and `proposal` writes a mapping.
`docs/importing.md` describes mappings.
"""

from operators.importer.errors import FileError, ImporterError, MappingError, RowError
from operators.importer.mapping import Mapping
from operators.importer.plan import churn_attributes, load_mapping
from operators.importer.proposal import propose
from operators.importer.write import ImportSummary, import_file

__all__ = [
    "FileError",
    "ImportSummary",
    "ImporterError",
    "Mapping",
    "MappingError",
    "RowError",
    "churn_attributes",
    "import_file",
    "load_mapping",
    "propose",
]
