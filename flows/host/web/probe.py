"""Probe: asks the csq of this machine for a page, over HTTP or TLS.

The health check of the image runs it as ``python -m flows.host.web.probe``. It takes the port from `CSQ_HTTP__PORT`, as
the server does, and exits with 0 where `/healthz` answers 200. A server that demands client certificates refuses it.
"""

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

ANSWER_SECONDS = 2.0
BODY_BYTES = 256


def ask(host: str, port: int, path: str) -> tuple[int, str] | None:
    """Status and text (at most `BODY_BYTES`) of a page; `None` without an answer.

    The server's certificate is not verified: no secret is sent, and on the loopback there is no name to verify.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for connection in (
        HTTPConnection(host, port, timeout=ANSWER_SECONDS),
        HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context),
    ):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(BODY_BYTES).decode("utf-8", "replace")
        except (OSError, HTTPException):
            continue
        finally:
            connection.close()
    return None


def main() -> None:
    """Exit with 0 where the csq of this machine is healthy, with 1 and its answer where it is not."""
    port = os.environ.get("CSQ_HTTP__PORT", "9464")
    answer = ask("127.0.0.1", int(port), "/healthz")
    if answer is None:
        sys.exit(f"no answer at port {port}")
    status, text = answer
    if status != 200:  # noqa: PLR2004 - OK, in HTTP
        sys.exit(text.strip())


if __name__ == "__main__":
    main()
