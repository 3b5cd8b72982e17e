"""Logs: JSON lines, short lines on a terminal, and no text of customers."""

import json
import logging
import sys
from io import StringIO

import pytest

from flows.host import logs


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
