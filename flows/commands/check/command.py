"""`csq check`: whether csq could run here with these settings, line by line, and what to do where it could not.

It changes nothing: no topic is made, no record is written, no consumer group moves.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from flows.commands.check.brokers import check_kafka
from flows.commands.check.calendars import check_calendars
from flows.commands.check.finding import Finding
from flows.commands.check.machine import check_clock, check_port, check_state, check_web
from flows.commands.options import config_option, web_config_option
from flows.settings.load import load, settings_digest
from flows.settings.model import Settings
from operators.documents.load import DocumentError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@web_config_option
@config_option
def check(config: Path | None, *, as_json: bool) -> None:
    """Check settings, brokers, topics, credentials, state directory, port and clock; exit 1 where one fails.

    The command changes nothing: it creates no topic and writes no record.
    """
    if not show(findings(config, os.environ), as_json=as_json):
        raise SystemExit(1)


def findings(config: Path | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield each finding at once; the slow ones, about brokers, are last."""
    try:
        settings = load(config, environ)
    except DocumentError as error:
        for line in str(error).splitlines():
            yield Finding.fail(
                "settings", line if line.endswith((".", "?")) else f"{line}.", "Correct it; nothing else was checked."
            )
        return
    yield Finding.ok("settings", f"{config or 'built-in ones'}, digest {settings_digest(settings)}")
    yield from _checked(settings)


def _checked(settings: Settings) -> Iterator[Finding]:
    yield from check_calendars(settings.promises, time.time())
    yield from check_web(settings.http)
    yield check_port(settings.http)
    yield from check_state(settings)
    yield check_clock(settings)
    yield from check_kafka(settings)


def show(found: Iterator[Finding], *, as_json: bool) -> bool:
    """Print the findings, one line each or as one JSON object; whether none has failed."""
    findings = []
    for finding in found:
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    fine = all(finding.status != "fail" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": fine, "checks": [finding.entry() for finding in findings]}, indent=2))
    return fine
