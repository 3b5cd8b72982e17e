"""Errors of a flow as the commands report them."""

from typing import NoReturn

import click

from operators.connectors.files.jsonl import JsonlInputError
from operators.connectors.kafka.errors import KafkaInputError, KafkaOutputError, UnreadableError
from operators.connectors.kafka.fence import OutputsSharedError
from operators.domain.stage.seal import StateDamagedError
from operators.domain.stage.stage import StateVersionError
from operators.engine.store import StoreError, StoreMisfitError

USER_ERRORS = (KafkaInputError, KafkaOutputError, StateVersionError, StateDamagedError, StoreError, JsonlInputError)
"""Errors whose text is for the user."""
PERMANENT_ERRORS = (StateVersionError, StateDamagedError, StoreMisfitError, OutputsSharedError, UnreadableError)
"""Errors that a restart does not correct."""


class PermanentError(click.ClickException):
    """Exit code 2: a supervisor need not start the process again."""

    exit_code = 2


def fail(error: BaseException) -> NoReturn:
    """Raise the cause of a failed flow as a click exception; Bytewax wraps it several times.

    Raises:
        PermanentError: a restart does not correct it.
        ClickException: any other of `USER_ERRORS`.
        BaseException: `error` itself, if none of these caused it.
    """
    at: BaseException | None = error
    while at is not None and not isinstance(at, USER_ERRORS):
        at = at.__cause__ or at.__context__
    if at is None:
        raise error
    raise (PermanentError if isinstance(at, PERMANENT_ERRORS) else click.ClickException)(str(at)) from None
