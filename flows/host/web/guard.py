"""Guard: checks each request before a page answers it (no body, right password); sets the headers of all answers.

The probe pages answer without a password: health checks of container engines cannot send one, and a status is no data.
Where passwords are configured, `/readyz` gives its reasons only to a request that carries a right one.
"""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.host.web.auth import BasicAuth
from flows.host.web.config import Loaded

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of each answer, unless the web configuration sets them."""

PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Paths that answer without a password."""
DETAILS: Final = "csq.details"
"""Key of the ASGI scope: whether the client may see more than a status; without the key it may."""


class Guard:
    """ASGI middleware; `current` has the users and the response headers."""

    def __init__(self, app: ASGIApp, current: Callable[[], Loaded]) -> None:
        self._app = app
        self._current = current
        self._auth = BasicAuth()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request to the app."""
        now = self._current()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**HEADERS, **now.headers})
            await send(message)

        headers = Headers(scope=scope)
        app = self._app
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            app = PlainTextResponse("a request has no body here\n", 413, {"Connection": "close"})
        elif not await self._authorized(headers, now):
            if scope["path"] in PROBES:
                scope[DETAILS] = False
            else:
                app = PlainTextResponse(
                    "Unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="csq", charset="UTF-8"'}
                )
        await app(scope, receive, send_with_headers)

    async def _authorized(self, headers: Headers, now: Loaded) -> bool:
        """Whether the request carries a right password, or none is configured."""
        header = headers.get("authorization")
        if not now.users or header is None:
            return not now.users
        return await self._auth.allows(now.users, header.encode("latin-1"))
