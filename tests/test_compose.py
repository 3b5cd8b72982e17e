"""compose.yaml, Dockerfile, scrape configuration and monitors, compared with the files, settings and ports they name.

No container engine runs here: images are not pulled, but everything that the files say about csq is checked.
"""

import importlib.util
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.commands.rules.load import load as load_declaration
from flows.host.cluster.supervise import STOP_GRACE_SECONDS
from flows.settings.load import load
from flows.settings.model import Settings
from tests.servers.prometheus import amtool, free_port, promtool

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCRAPE = ROOT / "config" / "prometheus" / "prometheus.yml"
JOB = load_declaration(ROOT / "config" / "slo.yaml", Settings()).job
PORT = Settings().http.port
SCRIPTS = Path(sys.executable).parent

every_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> list[tuple[str, str]]:
    """(source, target) of each mount of a service."""
    return [tuple(mount.split(":")[:2]) for mount in SERVICES[name].get("volumes", [])]


def flag(service: str, name: str) -> str:
    [value] = [each.partition("=")[2] for each in SERVICES[service]["command"] if each.startswith(f"--{name}=")]
    return value


def seen_as(service: str, path: str) -> Path:
    """The file of this checkout that a container sees at `path`."""
    found = mounted(service, path)
    assert found is not None, f"{service} mounts nothing at {path}"
    return found


def mounted(service: str, path: str) -> Path | None:
    """The file of this checkout that a container sees at `path`; `None` where nothing is mounted there."""
    for source, target in mounts(service):
        if source.startswith("./") and (path == target or path.startswith(f"{target}/")):
            return ROOT / source / path.removeprefix(target).lstrip("/")
    return None


def csq_settings(service: str) -> Settings:
    """What csq in a container takes from its environment: that of the image and that of the service."""
    image = dict(re.findall(r"(CSQ_\w+__\w+)=(\S+)", DOCKERFILE))
    return load(None, {**image, **SERVICES[service]["environment"]})


# ---- compose.yaml


def test_it_is_valid_by_the_schema_of_compose():
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("NOT TESTED: the schema of compose files comes with the package check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_starts_everything_that_the_guide_speaks_of():
    assert set(SERVICES) == {"kafka", "topics", "csq", "shop", "prometheus", "alertmanager", "grafana"}


@every_service
def test_keys_of_a_service_are_those_of_compose(name):
    known = {
        "build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image", "ports",
        "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes",
    }  # fmt: skip

    assert set(SERVICES[name]) <= known


@every_service
def test_images_are_pinned_to_a_version(name):
    repository, _, tag = SERVICES[name]["image"].rpartition(":")

    assert repository
    assert tag == "local" or re.fullmatch(r"v?\d+\.\d+\.\d+", tag), tag


def test_images_of_one_repository_have_one_version():
    images = {service["image"] for service in SERVICES.values()}

    assert len({image.rpartition(":")[0] for image in images}) == len(images)


@every_service
def test_ports_are_open_on_the_loopback_only(name):
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port


@every_service
def test_what_is_mounted_is_there_and_volumes_are_declared(name):
    for source, target in mounts(name):
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).is_dir(), source
            assert f"{source}:{target}:ro" in SERVICES[name]["volumes"]
        else:
            assert source in COMPOSE["volumes"]


def test_every_declared_volume_is_used():
    assert set(COMPOSE["volumes"]) == {
        source for name in SERVICES for source, _ in mounts(name) if not source.startswith("./")
    }


@every_service
def test_a_service_waits_for_services_that_can_become_so(name):
    waits = SERVICES[name].get("depends_on", {})
    conditions = waits if isinstance(waits, dict) else {key: {"condition": "service_started"} for key in waits}
    for other, how in conditions.items():
        assert other in SERVICES
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other] or ("build" in SERVICES[other] and "HEALTHCHECK" in DOCKERFILE)


@every_service
def test_values_of_the_environment_are_text(name):
    assert all(isinstance(value, str) for value in SERVICES[name].get("environment", {}).values())


@pytest.mark.parametrize("name", ["csq", "shop"])
def test_settings_in_the_environment_exist_and_lead_to_the_kafka_of_compose(name):
    settings = csq_settings(name)

    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert [f"INSIDE://{broker}" for broker in settings.kafka.brokers] == [advertised.split(",")[0]]


def test_csq_is_reached_from_outside_its_container_at_the_port_that_is_open():
    settings = csq_settings("csq")

    assert (settings.http.host, settings.http.port) == ("0.0.0.0", PORT)  # noqa: S104 - of a container
    assert SERVICES["csq"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]


def test_state_lies_on_a_volume_and_nothing_else_is_written():
    settings = csq_settings("csq")
    [(_, target)] = mounts("csq")

    assert settings.state.directory is not None
    assert settings.state.directory.startswith(f"{target}/")
    assert SERVICES["csq"]["read_only"] is True
    assert f"VOLUME {target}\n" in DOCKERFILE


def test_the_topics_that_csq_reads_and_writes_are_made_first():
    [script] = SERVICES["topics"]["command"]
    made = script.partition(" in ")[2].partition(";")[0].split()
    kafka = csq_settings("csq").kafka

    assert made == [*kafka.topics, *kafka.outputs.by_stream().values()]
    assert "$$topic" in script  # compose would put in its own variable


def test_the_module_of_the_shop_can_be_run():
    *_, module = SERVICES["shop"]["entrypoint"]

    assert SERVICES["shop"]["image"] == SERVICES["csq"]["image"]
    assert '__name__ == "__main__"' in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def test_kafka_maps_every_listener_to_a_protocol():
    environment = SERVICES["kafka"]["environment"]
    listeners = {each.partition("://")[0] for each in environment["KAFKA_LISTENERS"].split(",")}
    mapped = {each.partition(":")[0] for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = {each.partition("://")[0] for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")}

    assert listeners == mapped
    assert advertised == listeners - {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert environment["KAFKA_LOG_DIRS"] in {b: a for a, b in mounts("kafka")}


def test_prometheus_reads_the_scrape_configuration_and_the_rules_beside_it():
    assert seen_as("prometheus", flag("prometheus", "config.file")) == SCRAPE
    assert list(SCRAPE.parent.glob("*.rules.yaml"))


def test_prometheus_keeps_what_the_longest_objective_looks_back_to():
    declaration = load_declaration(ROOT / "config" / "slo.yaml", Settings())
    kept = int(flag("prometheus", "storage.tsdb.retention.time").removesuffix("d"))

    assert kept > max(slo.window_days for slo in declaration.slos.values())


def grafana_provisioning() -> list[Path]:
    """The provisioning files of this checkout that Grafana reads in compose."""
    parts = ("access-control", "alerting", "dashboards", "datasources", "plugins")
    folders = [mounted("grafana", f"/etc/grafana/provisioning/{part}") for part in parts]
    return [path for folder in folders if folder is not None for path in sorted(folder.rglob("*.yaml"))]


def test_each_alert_is_evaluated_in_one_place():
    """Prometheus and Grafana send to the same Alertmanager, each under labels of its own."""
    by_prometheus = [
        rule["alert"]
        for path in SCRAPE.parent.glob("*.rules.yaml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    by_grafana = [
        rule["title"]
        for path in grafana_provisioning()
        for group in yaml.safe_load(path.read_text(encoding="utf-8")).get("groups", [])
        for rule in group["rules"]
    ]

    assert by_prometheus
    assert by_grafana == []


def test_a_stop_has_time_to_deliver():
    grace = float(SERVICES["csq"]["stop_grace_period"].removesuffix("s"))

    assert grace >= csq_settings("csq").kafka.delivery_seconds + STOP_GRACE_SECONDS


def test_alertmanager_reads_its_configuration_and_templates(prometheus_programs):
    file = flag("alertmanager", "config.file")
    path = seen_as("alertmanager", file)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert "SUCCESS" in amtool("check-config", path)
    for templates in config["templates"]:
        assert list(path.parent.glob(templates))
    secrets = set(re.findall(r"_file: (/\S+)", path.read_text(encoding="utf-8")))
    assert secrets
    assert all(str(Path(secret).parent) == f"{Path(file).parent}/secrets" for secret in secrets)


def test_grafana_finds_provisioning_and_dashboards_where_they_are_mounted():
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/csq.yaml").read_text(encoding="utf-8"))
    folder = provider["providers"][0]["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    for part in ("dashboards", "datasources"):
        assert seen_as("grafana", f"/etc/grafana/provisioning/{part}") == ROOT / "grafana" / "provisioning" / part
    assert seen_as("grafana", folder) == ROOT / "grafana" / "dashboards"
    assert seen_as("grafana", home).is_file()


def test_variables_of_grafanas_provisioning_are_in_its_environment():
    wanted = set()
    for path in grafana_provisioning():
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        wanted |= set(re.findall(r"(?<!\$)\$(\w+)", text))

    assert wanted == {name for name in SERVICES["grafana"]["environment"] if name.startswith("CSQ_")}


def test_data_sources_are_the_servers_of_compose():
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/csq.yaml").read_text(encoding="utf-8"))

    for source in sources["datasources"]:
        name, _, port = source["url"].removeprefix("http://").partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_csq_and_the_shop_of_compose_work_on_a_real_kafka(breakable_kafka, tmp_path):
    """As in the containers, but for the addresses: brokers, port and folder."""
    [script] = SERVICES["topics"]["command"]
    for topic in script.partition(" in ")[2].partition(";")[0].split():
        breakable_kafka.create_topic(topic, partitions=4)
    port = free_port()
    here = {
        "CSQ_KAFKA__BROKERS": f"[{breakable_kafka.address}]",
        "CSQ_STATE__DIRECTORY": str(tmp_path / "state"),
        "CSQ_HTTP__PORT": str(port),
    }

    with csq_running([SCRIPTS / "csq", "run"], {**SERVICES["csq"]["environment"], **here}) as csq:
        page(port, "/healthz", lambda text: text.startswith("healthy"))
        with csq_running([sys.executable, *SERVICES["shop"]["entrypoint"][1:]], here) as shop:
            page(port, "/metrics", lambda text: read_value(text, "csq_event_age_seconds_count") > 0)
    assert (csq.returncode, shop.returncode) == (0, 0)


@contextmanager
def csq_running(command: list[Any], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of csq, which is stopped at the end."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
    )
    try:
        yield process
        process.terminate()
        process.wait(30.0)
    finally:
        process.kill()
        process.wait()


def page(port: int, path: str, holds: Callable[[str], bool], seconds: float = 60.0) -> None:
    """Request a page until it has the expected content."""
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            text = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).text
            if holds(text):
                return
        time.sleep(0.2)
    raise AssertionError(f"{path} still says: {text[-500:]}")


def read_value(text: str, name: str) -> float:
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))


# ---- the scrape configuration


def test_the_scrape_configuration_names_the_job_and_the_ports_of_compose():
    scrape = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scrape["scrape_configs"]}

    assert targets[JOB] == [f"csq:{PORT}"]
    assert scrape["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == targets["alertmanager"]
    for target in (*targets[JOB], *targets["alertmanager"]):
        name, _, port = target.partition(":")
        assert f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]


def test_the_data_source_has_the_interval_of_the_scrapes():
    scrape = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/csq.yaml").read_text(encoding="utf-8"))

    assert sources["datasources"][0]["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]


def test_promtool_finds_the_scrape_configuration_and_its_rules_valid(prometheus_programs):
    reported = promtool("check", "config", SCRAPE)

    assert "SUCCESS" in reported
    assert reported.count("rules found") == len(list(SCRAPE.parent.glob("*.rules.yaml")))


# ---- monitors for the Prometheus operator


@pytest.mark.parametrize(
    ("name", "kind", "endpoints"),
    [("podmonitor", "PodMonitor", "podMetricsEndpoints"), ("servicemonitor", "ServiceMonitor", "endpoints")],
)
def test_a_monitor_selects_csq_and_gives_it_the_job_that_the_rules_ask_for(name, kind, endpoints):
    monitor = yaml.safe_load((ROOT / "deploy" / "kubernetes" / f"{name}.yaml").read_text(encoding="utf-8"))
    scrape = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))

    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", kind)
    assert set(monitor["spec"]) == {"jobLabel", "selector", endpoints}
    assert monitor["spec"]["selector"]["matchLabels"] == {monitor["spec"]["jobLabel"]: JOB}
    [endpoint] = monitor["spec"][endpoints]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    assert endpoint["interval"] == scrape["global"]["scrape_interval"]
    assert endpoint["scrapeTimeout"] == scrape["global"]["scrape_timeout"]


# ---- the image


def test_what_the_image_copies_is_there_and_not_ignored():
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    copied = {path for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]}

    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_the_image_copies_all_that_the_wheel_is_made_of_and_no_secret():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    for folder in wheel["only-include"]:
        assert f"\nCOPY {folder} {folder}\n" in DOCKERFILE
    assert ignored.index("config/alertmanager/secrets") > ignored.index("!config")


def test_the_image_installs_by_the_lock_file_with_hashes_and_runs_without_root():
    assert "--require-hashes --requirement requirements.lock" in DOCKERFILE
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.rindex("USER ") > DOCKERFILE.rindex("RUN ")


def test_the_python_of_the_image_is_one_that_csq_supports():
    versions = set(re.findall(r"^FROM python:(\d+\.\d+)\.\d+-slim-\w+", DOCKERFILE, re.MULTILINE))

    assert versions == {"3.12"}
    assert 'requires-python = ">=3.11,<3.13"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_health_check_of_the_image_is_a_module_that_asks_the_port_of_the_image():
    """`tests/flows/host/web/test_secured.py` runs it."""
    [module] = re.findall(r'^ +CMD \["python", "-m", "([\w.]+)"\]$', DOCKERFILE, re.MULTILINE)

    assert '__name__ == "__main__"' in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert f"CSQ_HTTP__PORT={PORT}\n" in DOCKERFILE
    assert f"EXPOSE {PORT}\n" in DOCKERFILE
