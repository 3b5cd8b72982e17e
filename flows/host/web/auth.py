"""Basic authentication against bcrypt hashes: its timing does not reveal which users exist, and results are cached."""

import asyncio
import hmac
import secrets
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache

import bcrypt

from flows.host.web.turns import ClientTurns, TooManyWaitingError

WRONG_KEPT = 128
"""Number of refused credentials that are cached, so that a scraper with an old password costs no hashes."""
PAUSE_SECONDS = 0.1
"""Rest after a wrong password: guessing leaves most of a core to the flow."""
REFUSED_SECONDS = 1.0
"""Time until a request is refused whose client has too many that wait: asking again at once wins nothing."""
PASSWORD_BYTES = 72
"""Bytes of a password that bcrypt uses; it ignores the rest."""


class BasicAuth:
    """Checks the user and password in the header of a request.

    The first check computes the hash, in a thread; later ones compare a keyed digest of the credentials, in constant
    time. The key is random and belongs to this process; neither passwords nor digests are written anywhere. One
    password is checked at a time, so that a flood of wrong ones takes no more than one core, and client addresses take
    turns (`ClientTurns`), so that it keeps no other address out. Known credentials never wait. An unknown user costs as
    much as the most expensive of the known ones with a wrong password. Serves one event loop.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._turns = ClientTurns()

    async def allows(self, users: Mapping[str, bytes], header: bytes, client: str = "") -> bool:
        """Whether `header`, the value of Authorization, is right for one of `users`, whose values are hashes.

        Raises:
            TooManyWaitingError: too many requests of the address `client` wait for their check.
        """
        user, password = credentials(header)
        known = users.get(user)
        hashed = known if known is not None else decoy(max(map(cost, users.values())))
        digest = hmac.digest(self._key, b"\0".join((hashed, user.encode(), password)), "sha256")
        if (answer := self._known(user, digest)) is not None:
            return answer
        try:
            async with self._turns.turn(client):
                if (answer := self._known(user, digest)) is not None:  # checked while this request waited
                    return answer
                fits = await asyncio.to_thread(_fits, password, hashed)
                if fits and known is not None:
                    self._right[user] = digest
                    return True
                self._refuse(digest)
                await asyncio.sleep(PAUSE_SECONDS)
        except TooManyWaitingError:
            await asyncio.sleep(REFUSED_SECONDS)
            raise
        return False

    def _known(self, user: str, digest: bytes) -> bool | None:
        """Whether credentials that were checked before are right; `None`: they were not."""
        if hmac.compare_digest(self._right.get(user, b""), digest):
            return True
        if digest in self._wrong:
            self._wrong.move_to_end(digest)
            return False
        return None

    def _refuse(self, digest: bytes) -> None:
        self._wrong[digest] = None
        if len(self._wrong) > WRONG_KEPT:
            self._wrong.popitem(last=False)


def credentials(header: bytes) -> tuple[str, bytes]:
    """User and password of an Authorization header; empty unless it is a basic one.

    >>> credentials(b"Basic YWxpY2U6b3BlbiBzZXNhbWU=")
    ('alice', b'open sesame')
    >>> credentials(b"Bearer token")
    ('', b'')
    """
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return "", b""
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
        return user.decode(), password
    except ValueError:  # neither base64 nor UTF-8
        return "", b""


def cost(hashed: bytes) -> int:
    """How expensive a hash is: the power of two of its rounds."""
    return int(hashed[4:6])


@lru_cache
def decoy(rounds: int) -> bytes:
    """A hash of cost `rounds` that no password fits: a random salt, and of the 2^184 digests the one of zeros."""
    return bcrypt.gensalt(rounds) + b"." * 31


def _fits(password: bytes, hashed: bytes) -> bool:
    return bcrypt.checkpw(password[:PASSWORD_BYTES], hashed)
