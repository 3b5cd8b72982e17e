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
from flows.host.web.config import LoadedConfig
from flows.host.web.turns import TooManyWaitingError, client_of

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of each answer, unless the web configuration sets them."""

READY: Final = "/readyz"
"""Answers without a password, and with its reasons where the password is right."""
HEALTHY: Final = "/healthz"
"""Answers without a password, and never looks at one."""
WAIT: Final = {"Retry-After": "5"}
DETAILS: Final = "csq.details"
"""Key of the ASGI scope: whether the client may see more than a status; without the key it may."""


class Guard:
    """ASGI middleware; `current` has the users and the response headers."""

    def __init__(self, app: ASGIApp, current: Callable[[], LoadedConfig]) -> None:
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
        elif scope["path"] != HEALTHY and (refused := await self._refusal(scope, headers, now)) is not None:
            if scope["path"] == READY:
                scope[DETAILS] = False
            else:
                app = refused
        await app(scope, receive, send_with_headers)

    async def _refusal(self, scope: Scope, headers: Headers, now: LoadedConfig) -> PlainTextResponse | None:
        """The answer to a request without a right password; `None`: it carries one, or none is configured."""
        header = headers.get("authorization")
        if not now.users:
            return None
        if header is not None:
            host, _ = scope.get("client") or ("", 0)
            try:
                if await self._auth.allows(now.users, header.encode("latin-1"), client_of(host)):
                    return None
            except TooManyWaitingError:
                return PlainTextResponse("Too many passwords of this address wait for their check\n", 429, WAIT)
        return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="csq", charset="UTF-8"'})
