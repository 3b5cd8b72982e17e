"""The systemd unit starts existing commands with options that systemd supports."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.commands.main import subcommand
from flows.host.cluster.child import SILENT_SECONDS
from flows.host.silence import LOOK_SECONDS
from flows.host.systemd import MORE_SECONDS
from flows.settings.model import Settings

UNIT = Path(__file__).parents[1] / "deploy" / "csq.service"


def installation() -> list[list[str]]:
    """The commands by which the page installs the unit, as words."""
    page = (UNIT.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    block = page.partition("## As a systemd service")[2].partition("```sh\n")[2].partition("```")[0]
    return [
        words
        for line in block.splitlines()
        for command in line.split("&&")
        if (words := shlex.split(command, comments=True))
    ]


def made_groups() -> list[str]:
    """Groups that the page makes."""
    return [words[-1] for words in installation() if words[0] == "groupadd"]


def value(key: str) -> str:
    """The value of a key that occurs once."""
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


def test_systemd_kills_what_hangs_and_starts_it_again() -> None:
    assert value("Type") == "notify"
    assert seconds("WatchdogSec") == SILENT_SECONDS >= 10 * LOOK_SECONDS
    assert value("WatchdogSignal") == "SIGKILL"
    assert value("Restart") == "on-failure"  # the watchdog is a failure


def test_a_start_that_makes_progress_is_given_the_time_it_asks_for() -> None:
    assert seconds("TimeoutStartSec") >= MORE_SECONDS
    assert "AF_UNIX" in value("RestrictAddressFamilies").split()  # the socket of systemd


def seconds(key: str) -> int:
    return int(value(key).removesuffix("s"))


def test_the_variable_is_a_setting() -> None:
    assert value("Environment").startswith("CSQ_STATE__DIRECTORY=%S/csq/")
    assert value("StateDirectory") == "csq"


def test_what_a_person_has_to_correct_is_not_started_again() -> None:
    assert value("RestartPreventExitStatus") == "2"


def test_no_static_group_has_the_name_of_the_dynamic_user():
    """Systemd refuses to start such a unit, and `systemd-analyze verify` does not say so."""
    assert value("DynamicUser") == "yes"
    text = UNIT.read_text(encoding="utf-8")
    dynamic = dict(re.findall(r"^(User|Group)=(.*)$", text, re.MULTILINE)).get("User", UNIT.stem)
    static = set(value("SupplementaryGroups").split())

    assert static
    assert dynamic not in static | set(made_groups())


def test_the_page_makes_every_group_that_the_unit_names():
    assert set(value("SupplementaryGroups").split()) == set(made_groups())


def test_the_page_makes_every_file_that_the_unit_reads():
    paths = {
        path
        for path in re.findall(r"/etc/csq/[\w./-]+", UNIT.read_text(encoding="utf-8"))
        if "." in path or "-" in path
    }
    made = {path for words in installation() for path in words if path.startswith("/etc/csq/")}

    assert paths
    assert {path for path in paths if path not in made and f"{Path(path).parent}/" not in made} == set()


def test_the_page_lets_only_the_group_read_the_web_configuration():
    [words] = [words for words in installation() if words[-1] == "/etc/csq/web"]

    assert words[:-1] == ["install", "-d", "-m", "0750", "-g", value("SupplementaryGroups")]


def test_systemd_takes_every_line(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NOT TESTED: systemd-analyze is not here (Debian: apt install systemd)")
    unit = tmp_path / UNIT.name
    true = shutil.which("true") or "/bin/true"  # the program is not installed where the unit will find it
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/csq/bin/csq ", f"{true} "), encoding="utf-8")
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)  # noqa: S603 - systemd's own
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
