"""Runbooks: one per alert and per reason of a dead letter, no others, with working commands."""

import re
import shlex
from pathlib import Path

import promql_parser
import pytest

from flows.commands.rules.burn_alerts import FOR_PART, name_of
from flows.commands.rules.slo_records import derived
from operators.domain.wire.decode import REASONS
from tests.drills.cases import DRILLS
from tests.grafana.test_queries import kind_and_labels, selectors
from tests.rules.objectives import DECLARATION
from tests.rules.promtool import ROOT, rules
from tests.test_docs import blocks, command_of, commands, known_setting, prose, slug, spans

PAGES = {page.stem: page for page in sorted((ROOT / "docs" / "runbooks").glob("*.md"))}
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
each_page = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
SECTIONS = ["Impact", "Diagnosis", "Mitigation", "When it fires"]
DRILLED = {drill.alert for drill in DRILLS}
"""Their runbooks also say what it looked like."""


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_alert_and_every_reason_has_a_runbook_and_none_is_left_over():
    assert set(PAGES) == {*ALERTS, *(f"dead-letter-{reason}" for reason in REASONS)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_its_runbook(name):
    assert ALERTS[name]["annotations"]["runbook_url"] == f"{DECLARATION.links.runbooks}/{name}.md"


@each_page
def test_a_runbook_has_its_name_and_the_sections_that_people_look_for(page):
    headings = re.findall(r"^## (.+)$", read(page), re.MULTILINE)

    assert read(page).startswith(f"# {page.stem}\n\n")
    if page.stem in ALERTS:
        assert headings == SECTIONS + ["In the drill"] * (page.stem in DRILLED)
    else:
        assert headings == [headings[0], "What to do"]


def test_every_drilled_alert_exists():
    assert set(ALERTS) >= DRILLED


@each_page
def test_every_query_is_valid_and_asks_for_series_and_labels_that_exist(page):
    queries = [line for block in blocks(read(page), "promql") for line in block.splitlines()]

    assert queries
    for query in queries:
        for seen in selectors(promql_parser.parse(query)):
            known = {"job", "instance"} if seen.name == "up" else kind_and_labels(seen.name)[1]
            assert {label for label, _ in seen.labels} <= known, query


@each_page
def test_every_command_in_a_block_is_one_that_the_program_takes(page):
    for line in "".join(blocks(read(page), "sh")).splitlines():
        for words in commands(line):
            assert words[0] == "csq", line
            command, rest = command_of(words)
            assert command.make_context(words[1], rest).params, line  # raises for an option it does not have


@each_page
def test_every_command_in_the_text_exists_with_its_options(page):
    for span in spans(read(page)):
        if re.match(r"csq [a-z]", span):
            words = shlex.split(span)
            known = {option for param in command_of(words)[0].params for option in param.opts}
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, span


@each_page
def test_every_setting_exists(page):
    sections = "http|kafka|state|order|labels|intake|dedupe|conversations|queues|sentiment|customers|churn|promises"
    named = [span for span in spans(read(page)) if re.fullmatch(rf"({sections})\.[a-z_]+", span)]

    assert [name for name in named if not known_setting(name)] == []


@each_page
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(read(page))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.+)$", read(target), re.MULTILINE)), link


@pytest.mark.parametrize("name", DECLARATION.slos)
def test_the_runbook_of_an_objective_says_how_soon_it_fires(name):
    rows = re.findall(
        r"^\| (\w+) \| ([\w ]+) \| ([\w ]+) \|$", read(PAGES[name_of(name)]).split("## When it fires")[1], re.MULTILINE
    )

    assert rows[1:] == [
        (queue_class or "all", after(name, queue_class, "page"), after(name, queue_class, "ticket"))
        for queue_class in DECLARATION.slos[name].promised
    ]


def after(name: str, queue_class: str | None, severity: str) -> str:
    """From the moment at which everything goes wrong, after a good month: until a long window has passed its threshold."""
    slo = DECLARATION.slos[name]
    own = [burn for burn in derived(DECLARATION, slo, slo.promised[queue_class]) if burn.severity == severity]
    if not own:
        return "never"
    seconds = min(burn.threshold * burn.long_seconds for burn in own) + own[0].short_seconds / FOR_PART
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes)) if part)


@pytest.mark.parametrize("reason", REASONS)
def test_the_surge_leads_to_the_page_of_its_reason(reason):
    description = ALERTS["CsqDeadLetterSurge"]["annotations"]["description"].replace("{{ $labels.reason }}", reason)

    assert f"{DECLARATION.links.runbooks}/dead-letter-{reason}.md" in description
