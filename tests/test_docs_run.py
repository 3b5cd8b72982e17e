"""The commands of the documents are run, and their samples compared with what they print.

Each page gets a folder. Its blocks run there in order, as a reader would run them; a yaml or csv block becomes the file that
the sentence before it names. A ``text`` block behind commands is what the last of them prints: the words are the same,
numbers within a fifth. `NOT_RUN`, `SLOW`, `ELSEWHERE` are all exceptions, each with its reason.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from flows.settings.model import Settings
from operators.connectors.embedded import EmbeddedBroker
from tests.clusters import START_SECONDS, STOP_SECONDS, status
from tests.streams import ENVIRON, ROOT

PAGES = [
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SECONDS = 240
"""Bound on one command."""
TOLERANCE = 0.2

NOT_RUN = {
    r"\. \.venv/bin/activate": "the commands have the environment on their PATH",
    r"make (test|check|docs|drill|mutants|bench|against|ledger)\b.*|CSQ_DATA=\S+ make bench": (
        "works on the whole checkout for minutes to hours"
    ),
    r"python -m (pytest|grafana\.build|bench\.customers) .*": "works on the checkout: tests, and a measurement",
    r"docker .*": "needs Docker and images; tests/test_compose.py checks the files",
    r"kubectl .*": "needs a cluster of Kubernetes",
    r"(promtool|amtool) .*|curl -X POST .*": "tests/test_monitoring.py gives the snippets to these programs",
    r"(sha256sum|python3\.11|/opt/csq/bin/\w+) .*": "tests/test_release.py installs a release, in another folder",
    r"(groupadd|install|systemctl|journalctl) .*": "needs root and systemd; tests/test_deploy.py checks the unit",
    r".* airline(_tweets)?\.(csv|jsonl) .*": "the data set is not part of csq; tests/importer reads it with CSQ_DATA",
    r"csq deadletters show csq\..*": "the broker of this test has no such letter; tests/flows/commands/deadletters",
    r"csq state labels .* --drop .*": "the store of this test has no such name; tests/flows/commands/state/test_labels.py",
    r"csq state skip .*": "no record of this broker ends csq; tests/flows/commands/state/test_skip.py",
    r"csq run .*--(processes|addresses) .*|BYTEWAX_.*": "several processes; tests/flows/host/cluster",
}
"""Commands that no test here runs, as expressions for the whole line."""

SLOW = {
    r"make run|csq run.*|curl .*": "starts a process and waits until it is ready",
    r".*--events 50000 .*": "seven seconds",
    r"csq simulate --events 20000 \| csq replay - --out out": "as in getting started, which is not slow",
}
"""Commands that run in `make test-all` only."""

ELSEWHERE = {
    " Kafka topics": "a picture",
    "Error: cannot serve metrics": "tests/test_docs.py compares the messages of getting started",
    "Error: my.yaml": "tests/test_docs.py",
    "Kafka: no answer": "tests/test_docs.py",
    "Error: shop.jsonl": "tests/test_docs.py",
    "tickets.csv:3": "tests/test_docs.py",
    "Error: m.yaml": "tests/test_docs.py",
    "Error: the processes of this cluster differ": "tests/flows/host/cluster",
}
"""Samples that do not follow a command, by how they begin."""

STORE = "csq warm-start 2024.jsonl.gz 2025.jsonl --recovery /var/lib/csq/state -c my.yaml"
GIVEN = {
    "docs/state.md": [
        "mkdir -p /var/lib/csq /backup",
        "csq simulate --events 500 | gzip > 2024.jsonl.gz",
        "csq simulate --events 500 --seed 2 --out 2025.jsonl",
        STORE,
    ],
    "docs/runbooks/CsqSnapshotsSlow.md": [
        "csq simulate --events 500 --out 2025.jsonl",
        "csq warm-start 2025.jsonl --recovery /var/lib/csq/recovery",
    ],
}
"""What a page takes for granted."""


class Block(NamedTuple):
    """A fenced block, and the file that the text before it names."""

    language: str
    text: str
    file: str


def blocks(text: str) -> Iterator[Block]:
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        named = re.search(r"`([\w.-]+\.(?:yaml|csv))`:\n\n$", text[: match.start()])
        indent, language, body = match.groups()
        yield Block(language, re.sub(f"^{indent}", "", body, flags=re.MULTILINE), named[1] if named else "")


def lines(block: Block) -> list[str]:
    """The commands of a block: one a line, or a script."""
    if block.language == "bash":
        return [block.text]
    joined = block.text.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s{2,}", " ", re.sub(r"\s+# .*", "", line)).strip() for line in joined if line.strip()]


def listed(table: dict[str, str], line: str) -> bool:
    return any(re.fullmatch(pattern, line) for pattern in table)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """Has the topics of `my.yaml`."""
    with EmbeddedBroker(["csq.events", *msgspec.structs.asdict(Settings().kafka.outputs).values()]) as embedded:
        yield embedded


def elsewhere(sample: str) -> bool:
    return any(sample.startswith(begin) for begin in ELSEWHERE)


class Reader:
    """Runs the commands of a page in a folder, with a broker for those that have settings of their own."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        self.folder = folder
        self.served: subprocess.Popen[bytes] | None = None
        self._url = "http://127.0.0.1:9464"
        self._environ = ENVIRON | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "128",
            "CSQ_HTTP__PORT": "0",
        }
        self._kafka = {"CSQ_KAFKA__BROKERS": f"['{broker.bootstrap_servers}']"}
        for name in ("config", "deploy", "grafana"):
            (folder / name).symlink_to(ROOT / name)

    def run(self, line: str) -> str:
        """What a command prints; it has to exit with 0. One that serves is left running until the next."""
        command = line.replace("make run", "csq run").replace("http://127.0.0.1:9464", self._url)
        command = re.sub(r"(?<= )/(var/lib/csq|backup)", rf"{self.folder}/\1", command)
        environ = self._environ | (self._kafka if " -c " in line else {})
        if command.startswith("csq run"):
            return self._serve(command, environ)
        done = subprocess.run(  # noqa: S603  the documents' own commands
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        printed = done.stdout.decode()
        assert done.returncode == 0, f"$ {line}\n{printed}"
        return printed

    def _serve(self, command: str, environ: dict[str, str]) -> str:
        self.stop()
        log = self.folder / "served.log"
        with log.open("wb") as file:
            self.served = subprocess.Popen(  # noqa: S603  as above
                ["/bin/bash", "-c", f"exec {command}"], cwd=self.folder, env=environ, stderr=file
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.served.poll() is None:
            if url := re.search(r"serving metrics at (http://[\w.:]+)", log.read_text(encoding="utf-8")):
                self._url = url[1]
                if status(f"{self._url}/readyz") == 200:
                    return ""
            time.sleep(0.1)
        pytest.fail(f"$ {command}\nnot ready:\n{log.read_text(encoding='utf-8')}")

    def stop(self) -> None:
        if self.served is not None:
            self.served.send_signal(signal.SIGTERM)
            served, self.served = self.served, None
            code = served.wait(STOP_SECONDS)
            assert code == 0, (self.folder / "served.log").read_text(encoding="utf-8")


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def alike(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers within the tolerance; speed may be any.

    >>> alike("20 events in 3.1 s (6/s), lag 10", "20  events in 1.0 s (19/s), lag 11")
    True
    >>> alike("lag 10", "lag 13"), alike("lag 10", "age 10"), alike('{"id": ...', '{"id": 7}')
    (False, False, True)
    """
    shown, printed = (" ".join(re.sub(r"in [\d.]+ s \([\d,]+/s\)", "", text).split()) for text in (shown, printed))
    if shown.endswith("..."):
        shown = shown.removesuffix("...").rstrip()
        printed = printed[: len(shown)]
    numbers = [[float(found.replace(",", "")) for found in NUMBER.findall(text)] for text in (shown, printed)]
    return NUMBER.sub("0", shown) == NUMBER.sub("0", printed) and numbers[0] == pytest.approx(numbers[1], rel=TOLERANCE)


def compare(shown: str, printed: str) -> None:
    ours, theirs = ([line for line in text.splitlines() if line.strip()] for text in (shown, printed))
    wrong = [f"- {line}\n+ {other}" for line, other in zip(ours, theirs, strict=False) if not alike(line, other)]
    assert not wrong, "\n".join(wrong) + f"\n\nprinted:\n{printed}"
    assert len(ours) == len(theirs), f"printed:\n{printed}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def settings_file() -> str:
    """`my.yaml` of getting started, which other pages name too."""
    return next(block.text for block in blocks(text_of(ROOT / "docs/getting-started.md")) if block.file == "my.yaml")


def commands(page: Path) -> list[str]:
    return [line for block in blocks(text_of(page)) if block.language in {"sh", "bash"} for line in lines(block)]


def quick(line: str) -> bool:
    return not listed(NOT_RUN | SLOW, line)


def cases() -> Iterator[object]:
    for page in PAGES:
        if any(quick(line) for line in commands(page)) and page.parent.name != "runbooks":
            yield pytest.param(page, False, id=f"{name(page)}-quick")
        if any(not listed(NOT_RUN, line) for line in commands(page)):
            yield pytest.param(page, True, id=f"{name(page)}-slow", marks=pytest.mark.slow)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("page", "slow"), list(cases()))
def test_what_a_page_says_is_what_its_commands_print(page, slow, tmp_path, broker):
    reader = Reader(tmp_path, broker)
    for file in ("my.yaml", "csq.yaml"):
        (tmp_path / file).write_text(settings_file().replace("directory: state", "directory: null"), encoding="utf-8")
    given = GIVEN.get(name(page), [])
    for line in given:
        reader.run(line)
    printed: str | None = None
    try:
        for block in blocks(text_of(page)):
            if block.file:
                (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "text" and printed is not None and not elsewhere(block.text):
                compare(block.text, printed)
            elif block.language in {"sh", "bash"}:
                for line in lines(block):
                    runs = line not in given and (quick(line) or (slow and not listed(NOT_RUN, line)))
                    printed = reader.run(line) if runs else None
    finally:
        reader.stop()


def samples(page: Path) -> Iterator[tuple[str, str | None]]:
    """Each sample with the last command before it, if one stands before it."""
    command = None
    for block in blocks(text_of(page)):
        if block.language in {"sh", "bash"}:
            command = lines(block)[-1]
        elif block.language == "text":
            yield block.text, command
            command = None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_sample_follows_the_command_that_prints_it(page):
    for sample, command in samples(page):
        if not elsewhere(sample):
            assert command is not None, sample
            assert not listed(NOT_RUN, command), sample


def test_every_block_says_what_it_is():
    languages = {block.language for page in PAGES for block in blocks(text_of(page))}

    assert languages <= {"sh", "bash", "text", "json", "yaml", "csv", "promql", "example"}  # of definitions.md


def test_every_exception_is_still_one():
    reported = {line for page in PAGES for line in commands(page)}
    shown = [block.text for page in PAGES for block in blocks(text_of(page)) if block.language == "text"]

    assert [pattern for pattern in NOT_RUN | SLOW if not any(re.fullmatch(pattern, line) for line in reported)] == []
    assert [begin for begin in ELSEWHERE if not any(text.startswith(begin) for text in shown)] == []
