"""Web: serves `/metrics`, `/healthz` and `/readyz` from a thread beside the flow.

`application` is a plain ASGI app; `WebServer` runs any ASGI app on uvicorn, secured by a web configuration. Without one
every client that reaches the port may read, so the default is the loopback.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Thread

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from flows.host.web.config import LoadedConfig, WebConfigFile
from flows.host.web.connection import KEEP_ALIVE_SECONDS, ConnectionLimiter
from flows.host.web.guard import DETAILS, Guard
from operators.documents.secret import hidden

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9464
START_SECONDS = STOP_SECONDS = 5.0
"""How long `WebServer` waits for its thread."""

HEAD_BYTES = 16_384
"""Bound on the head of a request."""


class WebError(Exception):
    """The server could not start; the text says what to do."""


def application(
    registry: CollectorRegistry,
    idle_seconds: Callable[[], float],
    idle_limit_seconds: Callable[[], float],
    obstacles: Callable[[], Sequence[str]],
    exposing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Starlette:
    """Make the ASGI app.

    Args:
        registry: what `/metrics` shows.
        idle_seconds: seconds since the flow last moved.
        idle_limit_seconds: `/healthz` is 503 when the flow has not moved for longer; a supervisor restarts the process.
            A start has another limit.
        obstacles: reasons why the flow is not ready; `/readyz` is 503 while there are any. It leaves the reasons out
            where `Guard` has set `DETAILS` to false: they name brokers.
        exposing: context in which `/metrics` reads the registry; `Observer.exposing` writes the journal there.
    """

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(preferred(request.headers.get("accept", "")))
        with exposing():
            page = encode(registry)
        return Response(page, headers={"Content-Type": content_type, "Vary": "Accept"})

    def healthz(_: Request) -> Response:
        idle, limit = idle_seconds(), idle_limit_seconds()
        if idle > limit:
            text = f"not healthy: the flow has not moved for {idle:.1f} s, the limit is {limit:g} s\n"
            return PlainTextResponse(text, 503)
        return PlainTextResponse(f"healthy: the flow moved {idle:.1f} s ago\n")

    def readyz(request: Request) -> Response:
        reasons = obstacles()
        if not reasons:
            return PlainTextResponse("ready\n")
        if not request.scope.get(DETAILS, True):
            return PlainTextResponse("not ready\n", 503)
        return PlainTextResponse("".join(["not ready:\n", *(f"- {hidden(reason)}\n" for reason in reasons)]), 503)

    pages = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    app = Starlette(
        routes=[Route(path, page, methods=["GET"]) for path, page in pages.items()],  # GET brings HEAD with it
        middleware=[Middleware(GZipMiddleware, minimum_size=1_024, compresslevel=4)],
    )
    app.router.redirect_slashes = False  # an unknown path is 404, not a redirect
    return app


def preferred(accept: str) -> str:
    """Return the types of an Accept header that may be served, the best one first (RFC 9110, section 12.5.1).

    `choose_encoder` takes OpenMetrics wherever it stands, whatever its weight. Plain text can always be served, so what
    a client likes less does not count.

    >>> preferred("application/openmetrics-text;q=0, text/plain;q=0.5")
    'text/plain;q=0.5'
    >>> preferred("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;version=0.0.4")
    'text/plain;version=0.0.4'
    """
    weights = {kind.strip(): _weight(kind) for kind in accept.split(",")}
    kinds = sorted((kind for kind, weight in weights.items() if weight > 0.0), key=lambda kind: -weights[kind])
    plain = [number for number, kind in enumerate(kinds) if kind.partition(";")[0].strip() in {"text/plain", "*/*"}]
    return ",".join(kinds[: plain[0] + 1] if plain else kinds)


def _weight(kind: str) -> float:
    """The weight of a type in an Accept header; 1 without one, or with one that is no number."""
    for parameter in kind.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            with suppress(ValueError):
                return float(value)
    return 1.0


class WebServer:
    """An ASGI app on uvicorn in a daemon thread. Port 0 takes a free port; `url` contains it.

    A web configuration adds TLS and passwords, and is read again when it changes.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        secured: WebConfigFile | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._current = secured.current if secured is not None else LoadedConfig
        self._limiter = ConnectionLimiter(self._current)
        config = uvicorn.Config(
            Guard(app, self._current),
            log_config=None,  # csq's own logging shows what uvicorn reports
            log_level="error",  # malformed requests of clients are not logged
            access_log=False,
            lifespan="off",
            ws="none",
            http=self._limiter,  # type: ignore[arg-type] # uvicorn calls it like the class it asks for
            loop="asyncio",
            server_header=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """Where the server answers, without a slash at the end; with port 0 known after `start`."""
        scheme = "http" if self._current().tls is None else "https"
        return f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def start(self) -> None:
        """Take the port and answer; raises `WebError` when it cannot be had."""
        sock = bind(self._host, self._port)
        self._port = sock.getsockname()[1]
        self._thread = Thread(target=self._server.run, args=([sock],), name="csq-web", daemon=True)
        self._thread.start()
        end = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                message = f"{self.url}: the web server did not start within {START_SECONDS:g} s; the log says why"
                raise WebError(message)
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop answering and give the port back."""
        self._server.should_exit = True
        self._limiter.end_waiting()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)


def bind(host: str, port: int) -> socket.socket:
    """Take a port, 0 takes any free one; raises `WebError` when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:  # its own text is longer; a name that cannot be resolved has a negative number
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        message = (
            f"cannot serve metrics at {host}:{port}: {reason}. "
            "Set http.port to a free port (0 takes any) and http.host to an address of this machine."
        )
        raise WebError(message) from error
