"""The systemd unit starts what there is, with what systemd knows."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.commands.main import subcommand
from flows.settings.model import Settings

UNIT = Path(__file__).parents[1] / "deploy" / "csq.service"


def value(key: str) -> str:
    """What stands behind a key that stands once."""
    [found] = re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    return str(found)


def test_the_command_is_one_that_the_program_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSQ_HTTP__WEB_CONFIG_FILE", "")  # put back afterwards: the option sets it
    program, command, *arguments = shlex.split(value("ExecStart"))
    assert program.endswith("/csq")
    assert subcommand(command).make_context(command, arguments).params["config"] == Path("/etc/csq/csq.yaml")


def test_a_stop_has_time_for_what_is_in_flight() -> None:
    assert int(value("TimeoutStopSec").removesuffix("s")) > Settings().kafka.delivery_seconds
    assert value("KillSignal") == "SIGTERM"


def test_the_variable_is_a_setting() -> None:
    assert value("Environment").startswith("CSQ_STATE__DIRECTORY=%S/csq/")
    assert value("StateDirectory") == "csq"


def test_what_a_person_has_to_correct_is_not_started_again() -> None:
    assert value("RestartPreventExitStatus") == "2"


def test_systemd_takes_every_line(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NOT TESTED: systemd-analyze is not here (Debian: apt install systemd)")
    unit = tmp_path / UNIT.name
    true = shutil.which("true") or "/bin/true"  # the program is not installed where the unit will find it
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/csq/bin/csq ", f"{true} "), encoding="utf-8")
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)  # noqa: S603 - systemd's own
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
