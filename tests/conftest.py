"""What all tests share: the folder of public data, and how Hypothesis searches."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "ci", derandomize=True, deadline=None
)  # a build must not fail by chance, or by a busy machine
settings.register_profile("search", max_examples=2_000, deadline=None)  # HYPOTHESIS_PROFILE=search make test
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the public data sets, which are not part of the project."""
    name = os.environ.get("CSQ_DATA")
    if not name:
        pytest.skip("CSQ_DATA is not set: name the folder with the public data sets to run this test")
    if not Path(name).is_dir():
        pytest.skip(f"CSQ_DATA={name} is not a folder: name the one with the public data sets to run this test")
    return Path(name)
