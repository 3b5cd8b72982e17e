"""Import: CSV and TSV exports to events, by a mapping that a YAML file declares.

The way of a row: `rows` cuts the file into rows, `groups` adds what a row can only learn from others, `plan` makes its
events by what the `mapping` declares, `write` checks and writes them. `docs/importing.md` describes the mapping.
"""

from operators.importer.errors import FileError, ImporterError, MappingError, RowError
from operators.importer.mapping import Mapping
from operators.importer.plan import load_mapping
from operators.importer.write import ImportSummary, import_file

__all__ = [
    "FileError",
    "ImportSummary",
    "ImporterError",
    "Mapping",
    "MappingError",
    "RowError",
    "import_file",
    "load_mapping",
]
