"""Load: reads `config/slo.yaml` and checks it against the metrics, labels and promises of the settings."""

from collections.abc import Iterator
from itertools import starmap
from pathlib import Path

import msgspec

from flows.commands.rules.declaration import Declaration, Slo
from flows.commands.rules.misfits import misfits
from flows.commands.rules.selection import PromisedPart
from flows.settings.model import Settings
from operators.documents.load import load_document
from operators.documents.validator import Problem
from operators.domain.stage.promise import PromisesParams


def load(path: Path, settings: Settings) -> Declaration:
    """The declaration of a file; queues, channels and other label values are those of `settings`.

    Raises:
        DocumentError: with every mistake.
    """

    def check(declaration: Declaration) -> Iterator[Problem]:
        return starmap(Problem, misfits(declaration, settings))

    declaration = load_document(path, Declaration, "tables such as `slos:` (docs/slo.md)", check=check)
    return _with_limits(declaration, settings.promises)


def _with_limits(declaration: Declaration, promises: PromisesParams) -> Declaration:
    """The declaration, with a selection for each limit in place of `within_seconds: promise`."""

    def limited(slo: Slo) -> Slo:
        parts = {
            role: tuple(part for each in getattr(slo, role) for part in PromisedPart.all_of(each, promises))
            for role in ("good", "bad", "total")
        }
        return msgspec.structs.replace(slo, **parts)

    return msgspec.structs.replace(declaration, slos={name: limited(slo) for name, slo in declaration.slos.items()})
