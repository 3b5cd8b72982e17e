"""Logs: JSON lines, short lines on a terminal, and no text of customers."""

import json
import logging
import sys
from io import StringIO

import pytest

from flows.host import logs
from operators.documents.secret import HidingStream, note


@pytest.fixture(autouse=True)
def _restored():
    """Leaves the loggers as pytest made them."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    logging.captureWarnings(capture=False)
    root.setLevel(before[0])
    root.handlers[:] = before[1]


class Terminal(StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_each_line_is_one_json_object():
    stream = StringIO()
    logs.start("info", stream)

    logging.getLogger("flows.live").info(
        "read\nall", extra={"port": 9464, "share": float("nan"), "path": object, "level": "x"}
    )
    logging.getLogger("flows.live").debug("not this")

    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "flows.live",
        "message": "read\nall",
        "port": 9464,
        "share": None,
        "path": "<class 'object'>",
    }


def test_on_a_terminal_a_message_is_one_short_line():
    stream = Terminal()
    logs.start("info", stream)

    logging.getLogger("flows.live").warning("lagging\n%s", "much", extra={"messages": 120})

    assert stream.getvalue()[9:] == "warning  flows.live: lagging\\nmuch (messages=120)\n"


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_an_exception_comes_with_its_traceback(stream):
    stream = stream()
    logs.start("error", stream)

    try:
        sys.exit("gone")
    except SystemExit:
        logging.getLogger("flows").exception("stopped")

    assert "SystemExit: gone" in stream.getvalue()


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_what_a_customer_wrote_is_never_written_and_who_it_was_only_at_debug(stream):
    stream = stream()
    logs.start("debug", stream)

    logging.getLogger("flows").info("scored", extra={"text": "secret words", "customer_id": "anna"})
    assert "secret words" not in stream.getvalue()
    assert "anna" not in stream.getvalue()

    logging.getLogger("flows").debug("scored", extra={"text": "secret words", "customer_id": "anna"})
    assert "secret words" not in stream.getvalue()
    assert "anna" in stream.getvalue()


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_a_secret_is_written_nowhere_in_a_line(stream):
    stream = stream()
    logs.start("info", stream)
    note(["hunter2", "7345"])

    try:
        raise ValueError("hunter2")  # noqa: TRY301 - as a library would
    except ValueError as error:
        logging.getLogger("flows").exception(
            "refused: %s", "hunter2", extra={"why": error, "port": 7345, "tried": ("hunter2", {"hunter2": "x hunter2"})}
        )

    assert "hunter2" not in stream.getvalue()
    if not stream.isatty():
        entry = json.loads(stream.getvalue())
        assert (entry["message"], entry["why"], entry["port"]) == ("refused: ***", "***", 7345)


def test_standard_error_that_hides_secrets_is_not_written_through(monkeypatch):
    behind = StringIO()
    monkeypatch.setattr(sys, "stderr", HidingStream(behind))
    note(["level"])
    logs.start("info")

    logging.getLogger("flows").info("level")

    assert json.loads(behind.getvalue())["message"] == "***"
