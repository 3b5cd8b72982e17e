"""The web configuration has the format of the Prometheus exporters; it is strict, and reloaded after a change."""

import logging
import os
import ssl
from pathlib import Path

import bcrypt
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from flows.host.web.config import WebConfigFile
from operators.documents.load import DocumentError

HASH = bcrypt.hashpw(b"open sesame", b"$2b$04$abcdefghijklmnopqrstuu").decode()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    certificate(tmp_path, authority, "server")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


def certificate(folder: Path, authority: trustme.CA, name: str) -> None:
    issued = authority.issue_cert("localhost", "127.0.0.1")
    (folder / f"{name}.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / f"{name}.key")


def written(folder: Path, text: str) -> Path:
    path = folder / "web.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    """The error of a configuration, without the name of its file."""
    path = written(folder, text)
    with pytest.raises(DocumentError) as caught:
        WebConfigFile(path)
    return str(caught.value).replace(f"{path}, ", "").replace(f"{folder}/", "")


# What is taken.


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "basic_auth_users: {}\n", "tls_server_config:\n"])
def test_a_file_that_asks_for_nothing_asks_for_nothing(tmp_path: Path, text: str) -> None:
    loaded = WebConfigFile(written(tmp_path, text)).current()
    assert (loaded.tls, loaded.users, loaded.headers) == (None, {}, {})


def test_a_whole_file_is_taken_with_paths_relative_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    path = written(
        folder,
        f"""
tls_server_config:
  cert_file: server.crt
  key_file: ./server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: {folder}/ca.crt
  client_allowed_sans: [prometheus.example.org]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers: {{Strict-Transport-Security: max-age=31536000}}
basic_auth_users: {{prometheus: {HASH}}}
""",
    )
    loaded = WebConfigFile(Path(folder.name) / path.name).current()
    assert loaded.tls is not None
    assert loaded.tls.verify_mode is ssl.CERT_REQUIRED
    assert (loaded.tls.minimum_version, loaded.tls.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert not loaded.tls.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    old = [suite["name"] for suite in loaded.tls.get_ciphers() if suite["protocol"] == "TLSv1.2"]
    assert old == ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"]
    assert loaded.allowed_sans == {"prometheus.example.org"}
    assert loaded.users == {"prometheus": HASH.encode()}
    assert loaded.headers == {"Strict-Transport-Security": "max-age=31536000"}


# What is refused.

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_config: {}", "line 1: tls_config: unknown key; did you mean `tls_server_config`?"),
        (f"{TLS}  min_versoin: TLS13", "line 4: tls_server_config.min_versoin: unknown key; did you mean `min_version`?"),
        (f"{TLS}  min_version: TLS10", "line 4: tls_server_config.min_version: got text 'TLS10', expected TLS12 or TLS13"),
        (f"{TLS}  min_version: TLS13\n  max_version: TLS12", "line 4: tls_server_config: min_version TLS13 is above max_version TLS12"),
        ("tls_server_config:\n  cert_file: server.crt", "line 1: tls_server_config: key `key_file` is missing"),
        ("tls_server_config: {min_version: TLS13}", "line 1: tls_server_config: key `cert_file` is missing"),
        (f"{TLS}  client_auth_type: RequireAndVerifyClientCert", "line 4: tls_server_config: client_auth_type RequireAndVerifyClientCert needs client_ca_file"),
        (f"{TLS}  client_auth_type: RequireAnyClientCert", "expected NoClientCert, RequireAndVerifyClientCert or VerifyClientCertIfGiven"),
        (f"{TLS}  client_ca_file: ca.crt", "line 4: tls_server_config: client_ca_file has no effect without client_auth_type; set RequireAndVerifyClientCert"),
        (f"{TLS}  client_allowed_sans: [a]", "line 4: tls_server_config: client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"),
        (f"{TLS}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", "line 4: tls_server_config: cipher_suites: `TLS_RSA_WITH_RC4_128_SHA` is not one of TLS_ECDHE_ECDSA"),
        ("http_server_config:\n  headers: {X-Powered-By: csq}", "line 2: http_server_config: headers: `X-Powered-By` is not one of Content-Security-Policy"),
        ('http_server_config:\n  headers: {X-Frame-Options: "a\\nSet-Cookie: b"}', "line 2: http_server_config: headers: `X-Frame-Options` is not one line of printable ASCII"),
        ("basic_auth_users:\n  anna: open sesame", "line 2: basic_auth_users.anna: expected a bcrypt hash ($2y$...)"),
        (f"basic_auth_users:\n  anna: {HASH.replace('$04$', '$31$')}", "line 2: basic_auth_users.anna: a bcrypt hash of cost 31, expected from 4 to 14"),
        ("basic_auth_users:\n", "line 1: basic_auth_users: has no user; remove the key"),
        ("basic_auth_users: {a: 1, a: 2}", "line 1"),
        ("[]", "line 1: got a list, expected a web configuration in the format of the Prometheus exporters"),
        (TLS.replace("server.crt", "none.crt"), "line 2: tls_server_config.cert_file: none.crt cannot be read: No such file or directory"),
        (TLS.replace("server.key", "ca.crt"), "tls_server_config.cert_file: server.crt with ca.crt: "),
        (TLS.replace("server.crt", "ca.crt"), "line 2: tls_server_config.cert_file: ca.crt with server.key: the key does not belong to the certificate"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_place(folder: Path, text: str, said: str) -> None:
    assert said in refused(folder, text)


def test_all_mistakes_are_reported_at_once_and_no_hash_is_shown(folder: Path) -> None:
    reported = refused(folder, f"basic_auth_users: {{anna: [{HASH}], bert: hunter2}}\nhttp_server: {{}}\n")
    assert reported.count("line ") == 3
    assert HASH not in reported
    assert "hunter2" not in reported


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"web\.yaml: cannot be read: No such file or directory; expected a web"):
        WebConfigFile(tmp_path / "web.yaml")


def test_a_key_with_a_pass_phrase_is_refused_without_a_prompt(folder: Path) -> None:
    path = folder / "server.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass phrase")))
    assert "the key is encrypted; expected one without a pass phrase" in refused(folder, TLS)


# What changes.


def test_a_new_certificate_and_new_users_are_seen(folder: Path, authority: trustme.CA) -> None:
    file = WebConfigFile(written(folder, TLS))
    first = file.current()
    assert file.current() is first

    certificate(folder, authority, "server")
    second = file.current()
    assert second.tls is not first.tls

    written(folder, f"{TLS}basic_auth_users: {{anna: {HASH}}}\n")
    assert file.current().users == {"anna": HASH.encode()}


def test_a_certificate_swapped_by_a_link_is_seen(folder: Path, authority: trustme.CA) -> None:
    for name in ("old", "new"):
        (folder / name).mkdir()
        certificate(folder / name, authority, "server")
        for end in ("crt", "key"):
            os.utime(folder / name / f"server.{end}", (1, 1))
    (folder / "now").symlink_to("old")
    file = WebConfigFile(written(folder, TLS.replace("server.", "now/server.")))
    first = file.current()
    (folder / "next").symlink_to("new")
    (folder / "next").rename(folder / "now")
    assert file.current().tls is not first.tls


def test_an_invalid_change_is_reported_once_and_the_old_configuration_stays(
    folder: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    file = WebConfigFile(written(folder, TLS))
    first = file.current()
    key = (folder / "server.key").read_bytes()
    with caplog.at_level(logging.INFO):
        (folder / "server.key").write_text("half a key")
        assert file.current() is first
        assert file.current() is first
        written(folder, "nonsense: 1\n")
        assert file.current() is first
        written(folder, TLS)
        (folder / "server.key").write_bytes(key)
        assert file.current() is not first
    assert [vars(record)["event"] for record in caplog.records] == ["web_config_refused"] * 2 + ["web_config_reloaded"]
