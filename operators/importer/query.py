"""Query: the rows that a mapping's `file.sql` makes of files, run by DuckDB, which is an optional dependency.

The query reads files of one folder and nothing else: no other folder, no network, no other database, no extension, no
settings. DuckDB takes at most `MEMORY`; what does not fit goes to a temporary folder.
"""

import glob
import re
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from operators.importer.columns import Columns, Row
from operators.importer.errors import FileError
from operators.importer.mapping import File
from operators.importer.rows import check_columns, filled

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1GB"
DISK = "64GB"
REQUIREMENT = "duckdb>=1.5,<2"
"""As the extra `import` in pyproject.toml."""
_AT_ONCE = 1_000
"""Rows that are fetched at once."""
_LONGEST = 600
"""Characters of a message of DuckDB that are shown."""


def query_rows(path: Path, file: File, columns: Columns, limit: int | None) -> Iterator[Row]:
    """The rows of the query of `file`, at most the first `limit`, with room for the derived columns.

    `path` is a folder, or a file in the folder that the query reads. Cells are text, as DuckDB casts it, with times
    that have a zone in UTC; NULL is an empty cell.

    Raises:
        FileError: DuckDB is not installed, the query fails, or its result lacks a column.
    """
    with connected(path) as (connection, run):
        sql = one_select(path, file.sql or "")
        check_columns(path, [str(row[0]) for row in run(f"DESCRIBE {sql}").fetchall()], columns)
        chosen = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in columns.of_file()) or "NULL"
        first = "" if limit is None else f" LIMIT {limit}"
        # A table, not a stream: all errors come from this statement, and order and number of rows are settled.
        run(f"CREATE TEMP TABLE result AS SELECT {chosen} FROM (\n{sql}\n){first}")  # noqa: S608 - the query is the mapping's
        found = connection.execute("FROM result")
        room = [""] * (len(columns.derived) - 1)
        nothing = frozenset(file.empty)
        number = 0
        while rows := found.fetchmany(_AT_ONCE):
            for row in rows:
                number += 1
                yield Row(number, [str(number), *room, *filled([cell or "" for cell in row], nothing)])


class _Run:
    """Runs statements in the folder of the files; errors of DuckDB become `FileError`."""

    def __init__(self, connection: "DuckDBPyConnection", path: Path, folder: Path) -> None:
        self._connection = connection
        self._path = path
        self._folder = folder

    def __call__(self, sql: str) -> "DuckDBPyConnection":
        import duckdb  # noqa: PLC0415 - optional

        try:
            # DuckDB finds a file of a relative path in the folder in which the process is.
            with chdir(self._folder):
                return self._connection.execute(sql)
        except duckdb.Error as error:
            raise FileError(
                f"{self._path}: the query `file.sql` fails: {_first_part(str(error))}; expected a SELECT of DuckDB "
                "over files of its folder (docs/importing.md)"
            ) from None


@contextmanager
def connected(path: Path) -> Iterator[tuple["DuckDBPyConnection", _Run]]:
    """A database in memory that may read the folder of `path`, and what runs statements in it.

    Raises:
        FileError: DuckDB is not installed, or `path` does not exist.
    """
    try:
        import duckdb  # noqa: PLC0415 - optional
    except ImportError:
        raise FileError(
            f'{path}: the query `file.sql` needs DuckDB, which is not installed; run: pip install "{REQUIREMENT}"'
        ) from None
    if not path.exists():
        raise FileError(f"{path}: cannot be read: No such file or directory; expected a file or a folder")
    folder = (path if path.is_dir() else path.parent).resolve()
    name = "*" if path.is_dir() else glob.escape(path.name)
    with TemporaryDirectory() as temporary:
        connection = duckdb.connect(
            config={
                "threads": "1",  # the same rows in the same order
                "memory_limit": MEMORY,
                "temp_directory": temporary,
                "max_temp_directory_size": DISK,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "python_enable_replacements": "false",  # else a table may be a variable of this program
            }
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET VARIABLE file = {_text(name)}")
            connection.execute(f"SET allowed_directories = [{_text(str(folder))}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection, _Run(connection, path, folder)
        finally:
            connection.close()


def one_select(path: Path, sql: str) -> str:
    """`sql` without its last semicolon, if it is one SELECT and nothing else.

    Raises:
        FileError: it is not; others write files, or read other databases.
    """
    import duckdb  # noqa: PLC0415 - optional

    sql = re.sub(r";\s*\Z", "", sql)
    try:
        sql.encode()
        kinds = [statement.type for statement in duckdb.extract_statements(sql)]
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise FileError(
            f"{path}: the query `file.sql` cannot be understood: {_first_part(str(error))}; expected a SELECT of DuckDB"
        ) from None
    if kinds != [duckdb.StatementType.SELECT]:
        raise FileError(f"{path}: the query `file.sql` is not one SELECT; expected one, and no other statement")
    return sql


def quoted(name: str) -> str:
    """`name` as SQL writes a column."""
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_part(message: str) -> str:
    """What went wrong and where in the query, without lines of the data that DuckDB quotes."""
    lines = [line for line in message.splitlines() if line.strip() and not line.startswith(("Original Line", "  "))]
    text = " ".join(line.strip() for line in lines if line.strip() != "^")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
