"""What all tests share: the folder of public data, real servers, and how Hypothesis searches."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from operators.connectors.embedded import EmbeddedBroker
from operators.documents.secret import KNOWN
from tests.servers import kcat
from tests.servers.kafka import Kafka, libraries
from tests.servers.presence import UnavailableError, give_up
from tests.servers.prometheus import PROGRAMS, program

settings.register_profile(
    "ci", derandomize=True, deadline=None
)  # a build must not fail by chance, or by a busy machine
settings.register_profile("search", max_examples=2_000, deadline=None)  # HYPOTHESIS_PROFILE=search make test
settings.register_profile(  # python -m tests.mutants: that a test fails is enough, its least example is not needed
    "mutants", parent=settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files at the top of `tests/` first: they run whole programs for up to a minute.

    With `--dist loadfile` a long file that begins last would run while the other processes have nothing left to do.
    """
    top = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != top)


@pytest.fixture(scope="session", autouse=True)
def _stores_given_back() -> Iterator[None]:
    """A process holds its stores until it ends; without this, Python would warn about each open file."""
    yield
    if (locks := sys.modules.get("operators.engine.locks")) is not None:
        for file in locks._locks.values():
            file.close()


@pytest.fixture(autouse=True)
def _secrets_forgotten() -> Iterator[None]:
    """A process knows the secrets that it has read until it ends; a test knows only its own."""
    yield
    KNOWN.forget()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the public data sets, which are not part of the project."""
    name = os.environ.get("CSQ_DATA")
    if not name:
        pytest.skip("CSQ_DATA is not set: name the folder with the public data sets to run this test")
    if not Path(name).is_dir():
        pytest.skip(f"CSQ_DATA={name} is not a folder: name the one with the public data sets to run this test")
    return Path(name)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """A broker in this process for the tests of a module; each makes topics of its own."""
    with EmbeddedBroker() as embedded:
        yield embedded


@pytest.fixture(scope="session")
def kafka_libraries() -> Path:
    """The jars of Apache Kafka; what needs them is skipped, or fails, where they cannot be had."""
    try:
        return libraries()
    except UnavailableError as error:
        give_up(error)


@pytest.fixture(scope="session")
def kafka(kafka_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A real broker for all tests that leave it running; each makes topics of its own."""
    with Kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def _second_kafka(kafka_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("second-kafka")) as broker:
        yield broker


@pytest.fixture
def breakable_kafka(_second_kafka: Kafka) -> Iterator[Kafka]:
    """A real broker to stop, kill and freeze; it is mended for the next test."""
    yield _second_kafka
    _second_kafka.mend()


@pytest.fixture(scope="session")
def kcat_program() -> None:
    """`tests.servers.kcat` has what it runs."""
    try:
        kcat.program()
    except UnavailableError as error:
        give_up(error)


@pytest.fixture(scope="session")
def prometheus_programs() -> None:
    """Prometheus, promtool, Alertmanager and amtool can be had; see `tests.servers.prometheus` for what they do."""
    try:
        for name in PROGRAMS:
            program(name)
    except UnavailableError as error:
        give_up(error)
