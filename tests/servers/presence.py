"""Real servers for tests, benchmarks and drills: where their files are, and what happens without them.

A server is a plain class with a context manager, so that programs without pytest can use it too; the fixtures in
``tests/conftest.py`` are a thin coat. Where a server cannot be had, tests skip and say why; with
``CSQ_REQUIRE_SERVERS=1``, as in CI, they fail.
"""

import os
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(__file__).parents[2] / ".servers"
"""What was fetched once; not part of the project, kept by `make clean`."""


class UnavailableError(RuntimeError):
    """A server is not available here; the text says what is missing and how to get it."""


def give_up(error: UnavailableError) -> NoReturn:
    """Skip the test, loudly, or fail it where servers are required."""
    if os.environ.get("CSQ_REQUIRE_SERVERS") == "1":
        pytest.fail(f"CSQ_REQUIRE_SERVERS=1, but {error}", pytrace=False)
    pytest.skip(f"NOT TESTED: {error}")
