"""Guard: what a request passes before a page is asked, no body and the right password; the headers of all answers."""

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
"""In each answer, unless the web configuration says otherwise."""


class Guard:
    """An ASGI app before another; `current` says who may ask and which headers go out."""

    def __init__(self, app: ASGIApp, current: Callable[[], Loaded]) -> None:
        self._app = app
        self._current = current
        self._auth = BasicAuth()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        now = self._current()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**HEADERS, **now.headers})
            await send(message)

        app = await self._refusal(Headers(scope=scope), now) or self._app
        await app(scope, receive, send_with_headers)

    async def _refusal(self, headers: Headers, now: Loaded) -> ASGIApp | None:
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return PlainTextResponse("a request has no body here\n", 413, {"Connection": "close"})
        if now.users and not await self._auth.allows(now.users, headers.get("authorization", "").encode("latin-1")):
            return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="csq", charset="UTF-8"'})
        return None
