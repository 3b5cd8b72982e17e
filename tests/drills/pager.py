"""The pager of a drill: a web server that records the notifications of Alertmanager with their times."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, NamedTuple, Self


class Notice(NamedTuple):
    """One alert in one message of Alertmanager."""

    at: float
    """Time of arrival, by `time.monotonic`."""
    receiver: str
    status: str
    """firing or resolved."""
    labels: dict[str, str]
    summary: str = ""

    @property
    def name(self) -> str:
        """The name of the alert."""
        return self.labels["alertname"]

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """All labels: what makes it the same alert."""
        return tuple(sorted(self.labels.items()))


class Pager:
    """Listens on a free port of the loopback; the path of a message is the name of the receiver."""

    def __init__(self) -> None:
        self._notices: list[Notice] = []
        self._received = Condition()
        pager = self

        class Taker(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pager.take(self.path.lstrip("/"), json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """No access log: the drill prints the notifications."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, receiver: str, message: dict[str, Any]) -> None:
        """Record every alert of a message."""
        now = time.monotonic()
        with self._received:
            self._notices += [
                Notice(now, receiver, one["status"], one["labels"], one.get("annotations", {}).get("summary", ""))
                for one in message["alerts"]
            ]
            self._received.notify_all()

    def notices(self, since: float = 0.0) -> list[Notice]:
        """Notifications at `since` or later."""
        with self._received:
            return [notice for notice in self._notices if notice.at >= since]

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until `holds` is true, for at most so long; return whether it is."""
        with self._received:
            return self._received.wait_for(holds, seconds)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
