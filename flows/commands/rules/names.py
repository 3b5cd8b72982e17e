"""Names: what the recording rules add to the metrics of the catalogue."""

from flows.commands.rules.build import records
from flows.commands.rules.declaration import Declaration


def names(declaration: Declaration) -> frozenset[str]:
    """The name of every recorded series."""
    return frozenset(record.record for record in records(declaration))
