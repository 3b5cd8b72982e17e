"""The web configuration: TLS, client certificates, passwords and headers of `/metrics`, in a file of its own.

It has the format of ``--web.config.file`` of the Prometheus exporters::

    tls_server_config:
      cert_file: server.crt
      key_file: server.key
    basic_auth_users:
      prometheus: $2y$10$...

Changed certificates and passwords need no restart: `WebConfigFile` reloads them.
"""

import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from operators.documents.load import DocumentError, Source, Stamp, read_source, stamp
from operators.documents.secret import Secret, note
from operators.documents.validator import Problem
from operators.domain.mistakes import Mistake, MistakesError

log = logging.getLogger(__name__)

HEADERS: Final = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
"""Response headers that the file may set; as in the exporters."""
CIPHERS: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""Cipher suites of TLS 1.2 that are still sound: name in the file to name in OpenSSL. All of TLS 1.3 are on."""
_CLIENTS: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
KEY_PAIR: Final = ("cert_file", "key_file")
_HASH: Final = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
MAX_COST: Final = 14
"""Of a bcrypt hash: 2^14 rounds take about a second of one core, and each more doubles it."""

Version = Literal["TLS12", "TLS13"]
ClientAuth = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]


class TlsServer(Struct, frozen=True, forbid_unknown_fields=True):
    """`tls_server_config`; without any key there is no TLS."""

    cert_file: str = ""
    key_file: str = ""
    client_auth_type: ClientAuth = "NoClientCert"
    client_ca_file: str = ""
    client_allowed_sans: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    def __post_init__(self) -> None:
        """Refuse settings that would admit more clients than intended."""
        given = any(getattr(self, field.name) != field.default for field in msgspec.structs.fields(self))
        found = [Mistake((), f"key `{key}` is missing") for key in KEY_PAIR if given and not getattr(self, key)]
        if found := [*found, *self._mistakes()]:
            raise MistakesError(*found)

    def _mistakes(self) -> Iterator[Mistake]:
        for number, name in enumerate(self.cipher_suites):
            if name not in CIPHERS:
                text = f"cipher_suites: `{name}` is not one of {', '.join(CIPHERS)}"
                yield Mistake(("cipher_suites", number), text)
        if self.min_version > self.max_version:
            text = f"min_version {self.min_version} is above max_version {self.max_version}"
            yield Mistake(("min_version",), text)
        checks_clients = self.client_auth_type != "NoClientCert"
        if checks_clients and not self.client_ca_file:
            text = f"client_auth_type {self.client_auth_type} needs client_ca_file, which is missing"
            yield Mistake(("client_auth_type",), text)
        if self.client_ca_file and not checks_clients:
            text = "client_ca_file has no effect without client_auth_type; set RequireAndVerifyClientCert"
            yield Mistake(("client_ca_file",), text)
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            text = "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"
            yield Mistake(("client_allowed_sans",), text)


class HttpServer(Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server_config`. The server uses HTTP/1.1 with any value of `http2`; clients of HTTP/2 support it."""

    http2: bool = True
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse headers that are not for the file to set."""
        for name, value in self.headers.items():
            if name not in HEADERS:
                text = f"headers: `{name}` is not one of {', '.join(HEADERS)}"
                raise MistakesError(Mistake(("headers", name), text))
            if not value.isascii() or not value.isprintable():
                text = f"headers: `{name}` is not one line of printable ASCII"
                raise MistakesError(Mistake(("headers", name), text))


class WebConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Contents of the file."""

    tls_server_config: TlsServer = TlsServer()
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, Secret] = {}


class LoadedConfig(msgspec.Struct, frozen=True):
    """What the server needs of a web configuration."""

    tls: ssl.SSLContext | None = None
    """For new connections; without it they are plain."""
    allowed_sans: frozenset[str] = frozenset()
    """Names, one of which a client's certificate must carry; empty: any."""
    users: Mapping[str, bytes] = {}
    """User to bcrypt hash; empty: no authentication."""
    headers: Mapping[str, str] = {}
    """Set in each answer."""
    certificate: Path | None = None
    """The file it is in, where there is TLS."""


class WebConfigFile:
    """A web configuration on disk; `current` has its present contents and those of its certificates.

    An invalid change is logged once, and the last valid configuration stays in use, also while a certificate is being
    written. Safe in several threads.

    Raises:
        DocumentError: the file cannot be used as it is at the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._files: tuple[Path, ...] = (path,)
        self._seen = self._stamps()
        self._loaded = self._load()

    def current(self) -> LoadedConfig:
        """The newest valid state. Costs a look at the dates of the files."""
        with self._lock:
            seen = self._stamps()
            if seen != self._seen:
                self._seen = seen
                self._reload()
            return self._loaded

    def _reload(self) -> None:
        fields = {"path": str(self.path)}
        try:
            self._loaded = self._load()
        except DocumentError as error:
            log.error(  # noqa: TRY400 - its text says all, a traceback nothing more
                "web configuration refused, the old one stays in use: %s",
                error,
                extra={"event": "web_config_refused", **fields},
            )
        else:
            log.info("web configuration reloaded", extra={"event": "web_config_reloaded", **fields})

    def _load(self) -> LoadedConfig:
        own = stamp(self.path)
        config, source = _read(self.path)
        tls = config.tls_server_config
        named = [name for name in (tls.cert_file, tls.key_file, tls.client_ca_file) if name]
        self._files = (self.path, *(self.path.parent / name for name in named))
        self._seen = [own, *self._stamps()[1:]]  # before they are read: what changes meanwhile is seen next time
        return LoadedConfig(
            tls=_context(tls, source) if tls.cert_file else None,
            allowed_sans=frozenset(tls.client_allowed_sans),
            users={name: secret.reveal().encode() for name, secret in config.basic_auth_users.items()},
            headers=config.http_server_config.headers,
            certificate=self.path.parent / tls.cert_file if tls.cert_file else None,
        )

    def _stamps(self) -> list[Stamp | None]:
        return [stamp(path) for path in self._files]


def web_config_of(name: str | None) -> WebConfigFile | None:
    """The web configuration that a setting names, if it names one; raises `DocumentError`."""
    return None if name is None else WebConfigFile(Path(name))


def _read(path: Path) -> tuple[WebConfig, Source]:
    source = read_source(path, "a web configuration in the format of the Prometheus exporters")
    if source.data.get("basic_auth_users", 0) is None:  # all users commented out: that must not disable authentication
        raise source.error([Problem(("basic_auth_users",), "has no user; remove the key")])
    return source.build(WebConfig, _hash), source


def _hash(kind: type, value: object) -> Secret:
    """A bcrypt hash; it is no password, but it is hidden as one."""
    if kind is not Secret:
        raise NotImplementedError(f"a web configuration holds no {kind}")
    found = _HASH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a bcrypt hash ($2y$...), such as `htpasswd -nbBC 10 USER PASSWORD` prints")
    if not 4 <= int(found[1]) <= MAX_COST:  # noqa: PLR2004 - the least that bcrypt knows
        raise ValueError(f"a bcrypt hash of cost {int(found[1])}, expected from 4 to {MAX_COST}; 10 is usual")
    note([found[0]])
    return Secret(found[0])


def _context(tls: TlsServer, source: Source) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    if tls.cipher_suites:
        context.set_ciphers(":".join(CIPHERS[name] for name in tls.cipher_suites))
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    folder = source.folder
    for key in ("cert_file", "key_file", "client_ca_file"):
        _check_readable(folder, tls, key, source)
    try:
        context.load_cert_chain(folder / tls.cert_file, folder / tls.key_file, password=_refuse_password)
    except (ssl.SSLError, ValueError) as error:
        raise _failed("cert_file", f"{tls.cert_file} with {tls.key_file}: {_reason(error)}", source) from None
    if tls.client_ca_file:
        try:
            context.load_verify_locations(folder / tls.client_ca_file)
        except ssl.SSLError as error:
            raise _failed("client_ca_file", f"{tls.client_ca_file}: {_reason(error)}", source) from None
    context.verify_mode = _CLIENTS[tls.client_auth_type]
    return context


def _check_readable(folder: Path, tls: TlsServer, key: str, source: Source) -> None:
    name: str = getattr(tls, key)
    if not name:
        return
    try:
        with (folder / name).open("rb"):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise _failed(key, f"{folder / name} cannot be read: {reason}", source) from None


def _failed(key: str, text: str, source: Source) -> DocumentError:
    return source.error([Problem(("tls_server_config", key), text)])


def _reason(error: Exception) -> str:
    """In words of a person: OpenSSL's are codes of its source files."""
    reason = getattr(error, "reason", None)
    known: dict[Any, str] = {
        "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
        "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it, in PEM form",
        None: str(error) if not isinstance(error, ssl.SSLError) else "expected PEM files: a certificate, and its key",
    }
    return known.get(reason, f"OpenSSL says {reason}")


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; expected one without a pass phrase")
