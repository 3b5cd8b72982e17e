"""Secrets do not leave a process: not in its log, its errors, its pages or its files."""

import http.client
import json
import subprocess
import time
from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest

from operators.connectors.embedded import EmbeddedBroker
from operators.documents.yaml import write
from tests.servers.process import Csq
from tests.streams import CSQ, ENVIRON, ROOT

SECRET = "hunter2SECRET"  # noqa: S105 - of nothing
NOWHERE = {"brokers": ["127.0.0.1:1"], "connect_seconds": 1}
OAUTH = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER"}
UNSECURED = {"enable.sasl.oauthbearer.unsecure.jwt": True}
REFUSED = {
    "OAUTHBEARER": {**OAUTH, **UNSECURED, "sasl.oauthbearer.config": f"{SECRET}=principal"},
    "in the protocol": {"security.protocol": SECRET},
    "in the mechanism": {"security.protocol": "sasl_ssl", "sasl.mechanism": SECRET},
    "PEM": {"security.protocol": "ssl", "ssl.key.pem": f"-----BEGIN {SECRET}", "ssl.certificate.pem": SECRET},
    "misspelt": {"sasl.pasword": SECRET, "ssl.key.location": "/none"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "security"),
    [
        *((("check", "--json"), security) for security in [*REFUSED.values(), None]),
        *(
            (command, REFUSED["OAUTHBEARER"])
            for command in [("run",), ("check",), ("config",), ("send", "events.jsonl")]
        ),
    ],
    ids=[*REFUSED, "in the address of a broker", "run", "check", "config", "send"],
)
def test_what_a_command_says_of_refused_settings_repeats_no_secret(tmp_path: Path, command, security):
    kafka = NOWHERE | {"security": security} if security else NOWHERE | {"brokers": [f"SSL://anna:{SECRET}@kafka:1"]}
    (tmp_path / "csq.yaml").write_text(write({"kafka": kafka, "http": {"port": 0}}))
    (tmp_path / "events.jsonl").write_text("")

    done = subprocess.run(  # noqa: S603 - our own command
        [*CSQ, *command, "-c", "csq.yaml"],
        cwd=tmp_path,
        env=ENVIRON | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert SECRET not in done.stdout + done.stderr
    assert done.stdout + done.stderr
    if "--json" in command:
        assert not json.loads(done.stdout)["ok"]


@pytest.mark.slow
def test_no_file_of_a_process_holds_a_password_or_a_digest_of_one(tmp_path: Path):
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    web, state = tmp_path / "web" / "web.yaml", tmp_path / "state"
    web.parent.mkdir()
    web.write_text(f"basic_auth_users: {{anna: {hashed}}}\n")
    broker = EmbeddedBroker(["csq.events"])
    settings = {
        "kafka": {"brokers": [broker.bootstrap_servers]},
        "http": {"port": 0, "web_config_file": str(web)},
        "state": {"directory": str(state), "snapshot_seconds": 0.5},
    }

    with broker, Csq(tmp_path / "csq", settings) as csq:
        host, port = csq.url().rpartition("//")[2].split(":")
        for password, status in ((SECRET, 200), (f"{SECRET}!", 401)):
            client = http.client.HTTPConnection(host, int(port), timeout=10)
            header = b64encode(f"anna:{password}".encode()).decode()
            client.request("GET", "/metrics", headers={"Authorization": f"Basic {header}"})
            assert client.getresponse().status == status
            client.close()
        csq.until(lambda: csq.get("/readyz")[0] == 200)
        time.sleep(1.5)  # some snapshots
        csq.stop()

    written = b"".join(
        path.read_bytes() for place in (state, tmp_path / "csq") for path in place.rglob("*") if path.is_file()
    )
    assert len(written) > 10_000
    assert not [each for each in (SECRET, hashed, hashed[29:]) if each.encode() in written]
