"""The declaration of objectives: what is read, what is refused and with which words, what is derived, what is written."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.commands.main import main
from flows.commands.rules.build import files
from flows.commands.rules.burns import burns_of, factor_of
from flows.commands.rules.declaration import Burn
from flows.commands.rules.load import load
from flows.settings.load import load as load_settings
from flows.settings.model import Settings
from operators.documents.load import DocumentError

SLO = Path(__file__).parents[4] / "config" / "slo.yaml"
TEXT = SLO.read_text(encoding="utf-8")
CLOSED = load_settings(None, {"CSQ_LABELS__QUEUES": "[orders, returns, billing, technical]"})
WORKBOOK = (Burn(0.02, 1, "page"), Burn(0.05, 6, "page"), Burn(0.1, 24, "ticket"), Burn(0.1, 72, "ticket"))


def refused(folder: Path, *changes: tuple[str, str]) -> str:
    """The message about the committed file after some changes."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "slo.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as raised:
        load(path, CLOSED)
    return str(raised.value).replace(f"{path}", "slo.yaml")


def test_the_committed_declaration_fits_the_built_in_settings():
    declaration = load(SLO, Settings())

    assert load(SLO, CLOSED) == declaration
    assert "other" in declaration.classes["standard"].queues
    assert declaration.slos["reply"].promised == {"urgent": 0.95, "standard": 0.9}
    assert declaration.slos["csat"].promised == {None: 0.65}


REFUSED = [
    ("within_seconds: promise", "within_seconds: 200", "slos.first-response.good[0].within_seconds: got 200, expected a bound of the buckets of csq_first_response_seconds: 10, 30, 60"),
    ("metric: csq_reply_rounds_total", "metric: csq_reply_round_total", "slos.reply.bad[0].metric: got 'csq_reply_round_total', expected a metric of docs/metrics.md"),
    ("outcome: [missed]", "outcome: [lost]", "slos.reply.bad[0].where.outcome: csq_reply_rounds_total never says 'lost', expected one of met, missed, other"),
    ("outcome: [missed]", "result: [missed]", "slos.reply.bad[0].where.result: csq_reply_rounds_total has no such label; it has queue, channel, outcome"),
    ("metric: csq_reply_rounds_total", "metric: csq_open_waits", "slos.reply.bad[0].metric: csq_open_waits is a gauge, expected a counter or a histogram; use `gauge:`"),
    ("gauge: {metric: csq_model_accuracy", "gauge: {metric: csq_model_examples_total", "slos.accuracy.gauge.metric: got 'csq_model_examples_total', expected a gauge of docs/metrics.md"),
    ("{urgent: 0.95, standard: 0.90}", "{urgent: 0.95, mail: 0.90}", "slos.first-response.objectives.mail: no such queue class; declared are urgent, standard"),
    ("queues: [orders, returns, other]", "queues: [orders, returns]", "classes: no class names `other`; add it to the class of the queues that no class names"),
    ("queues: [orders, returns, other]", "queues: [orders, returns, billing]", "classes.standard.queues[2]: billing is in class urgent already"),
    ("queues: [billing, technical]", "queues: [billing, technical, vip]", "classes.urgent.queues[2]: got 'vip', expected one of labels.queues of the settings: orders"),
    ("each: [model]", "each: [queue]", "slos.accuracy.each: csq_model_accuracy has no label 'queue'"),
    ("{urgent: 0.95, standard: 0.90}", "{urgent: 0.95, standard: 0.75}", "slos.first-response.objectives.standard: no page can ever come of 0.75: it burns at most at 4"),
    ("objective: 0.65", "objective: 1.5", "slos.csat.objective: got 1.5, expected a number above 0 below 1"),
    ("owner: service", "owners: service", "slos.first-response.owners: unknown key; did you mean `owner`?"),
    ("runbooks: https", "runbooks: htps", "links: runbooks: got 'htps://"),
    ("objective: 0.65", "objectives: {urgent: 0.6}\n    objective: 0.65", "slos.csat: give either `objective`, or `objectives` per queue class"),
    ("hours: 1,", "hours: 0,", "burns[0].hours: got 0, expected a number above 0"),
]  # fmt: skip
"""Text, its replacement, and the message."""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    REFUSED,
    ids=[f"{number}-{says.split(':')[0]}" for number, (_, _, says) in enumerate(REFUSED)],
)
def test_what_does_not_fit_is_refused_with_its_place(old, new, says, tmp_path):
    reported = refused(tmp_path, (old, new))

    assert says in reported
    assert reported.startswith("slo.yaml, line ")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("within_seconds: promise", "within_seconds: 7", "within_seconds: 7"),
        ("runbooks: https", "runbooks: htps", "runbooks: htps"),
        ("gauge: {", "total: [{metric: csq_ratings_total}]\n    gauge: {", "gauge: {"),
        ("each: [queue]", "each: []", "objectives: {"),
    ],
)
def test_the_line_is_that_of_the_mistake(tmp_path, old, new, key):
    line = TEXT.replace(old, new, 1).partition(key)[0].count("\n") + 1

    assert refused(tmp_path, (old, new)).startswith(f"slo.yaml, line {line}: ")


def test_all_mistakes_are_reported_at_once(tmp_path):
    reported = refused(
        tmp_path, ("within_seconds: promise", "within_seconds: 7"), ("outcome: [missed]", "outcome: [lost]")
    )

    assert len(reported.split("\n")) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "slo.yaml, line 1"),
        ("- 1\n", "slo.yaml, line 1: got a list, expected tables such as `slos:`"),
        ("", "slo.yaml, line 1: key `burns` is missing"),
    ],
    ids=["not-yaml", "a-list", "empty"],
)
def test_a_file_that_is_no_declaration_is_refused(text, says, tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(DocumentError) as raised:
        load(path, Settings())
    assert says in str(raised.value).replace(str(path), "slo.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        load(tmp_path / "slo.yaml", Settings())


# ---- what is derived


def test_the_factors_of_the_workbook_come_out():
    assert [factor_of(burn.budget_share, burn.hours, 30) for burn in WORKBOOK] == [14.4, 6, 3, 1]


def test_windows_thresholds_and_guards_follow_from_the_objective():
    derived = burns_of(WORKBOOK, 30, 0.95, 20, "page")

    assert [(burn.long, burn.short) for burn in derived] == [("1h", "5m"), ("6h", "30m"), ("1d", "2h"), ("3d", "6h")]
    assert [burn.threshold for burn in derived] == [0.72, 0.3, 0.15, 0.05]
    assert [burn.minimum for burn in derived] == [20, 48, 96, 288]


def test_as_many_bad_events_lie_behind_every_alert():
    for objective in (0.9, 0.95, 0.99, 0.999):
        bad = [burn.minimum * burn.threshold for burn in burns_of(WORKBOOK, 30, objective, 50, "page")]
        assert max(bad) - min(bad) < 1  # whole events


def test_a_burn_that_can_never_be_reached_falls_away():
    assert [burn.factor for burn in burns_of(WORKBOOK, 30, 0.9, 20, "page")] == [6, 3, 1]
    assert [burn.factor for burn in burns_of(WORKBOOK, 30, 0.7, 20, "page")] == [3, 1]


def test_a_burn_slower_than_the_budget_falls_away():
    assert [burn.factor for burn in burns_of(WORKBOOK, 7, 0.99, 20, "page")] == [3.36, 1.4]


def test_what_is_at_worst_a_ticket_never_pages():
    assert {burn.severity for burn in burns_of(WORKBOOK, 30, 0.99, 20, "ticket")} == {"ticket"}


# ---- what is written


def test_other_queues_make_other_rules(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "labels:\n  queues: [VIP, 'a.b']\npromises: {queues: {VIP: {limit_seconds: 45}}}\n", encoding="utf-8"
    )
    text = TEXT.replace("queues: [billing, technical]", "queues: [VIP]").replace(
        "[orders, returns, other]", "['a.b', other]"
    )
    (tmp_path / "slo.yaml").write_text(text, encoding="utf-8")

    written = files(load(tmp_path / "slo.yaml", load_settings(tmp_path / "my.yaml", {})))

    assert 'queue="VIP"' in written["config/prometheus/slo.rules.yaml"]
    assert 'queue!="VIP"' in written["config/prometheus/slo.rules.yaml"]
    assert 'le="45.0",queue="VIP"' in written["config/prometheus/slo.rules.yaml"]
    assert 'le="180.0",queue!="VIP"' in written["config/prometheus/slo.rules.yaml"]
    assert "billing" not in "".join(written.values())


def test_with_auto_a_class_may_name_any_queue_and_the_others_fall_into_the_class_of_other(tmp_path):
    text = TEXT.replace("queues: [billing, technical]", "queues: [VIP]").replace("[orders, returns, other]", "[other]")
    (tmp_path / "slo.yaml").write_text(text, encoding="utf-8")

    written = files(load(tmp_path / "slo.yaml", Settings()))["config/prometheus/slo.rules.yaml"]

    assert 'queue="VIP"' in written
    assert 'queue!="VIP"' in written


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["rules", *arguments])
    return done.exit_code, done.output


def test_build_writes_check_agrees_and_a_change_is_found(tmp_path):
    root = ("--slo", str(SLO), "--root", str(tmp_path))
    code, reported = run("build", *root)
    assert (code, reported.count("wrote ")) == (0, 8)
    assert run("check", *root) == (0, "")
    assert run("build", *root) == (0, "all 8 files were up to date\n")

    rules = tmp_path / "config" / "prometheus" / "slo.rules.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("30s", "31s"), encoding="utf-8")
    (tmp_path / "config" / "prometheus" / "old.rules.yaml").write_text("groups: []\n", encoding="utf-8")
    code, reported = run("check", *root)
    assert code == 1
    assert "config/prometheus/slo.rules.yaml, config/prometheus/old.rules.yaml; run `csq rules build`" in reported

    assert run("build", *root)[0] == 0
    assert run("check", *root) == (0, "")
    assert not (tmp_path / "config" / "prometheus" / "old.rules.yaml").exists()


def test_list_names_every_alert_with_its_severity():
    code, reported = run("list", "--slo", str(SLO))

    assert code == 0
    for words in (
        "CsqPipelineDown page platform 1m csq is down",
        "CsqOldestOpenWait page urgent service 1m A customer in queue <queue>",
    ):
        assert words in " ".join(reported.split())


def test_a_wrong_declaration_is_reported_without_a_traceback(tmp_path):
    (tmp_path / "slo.yaml").write_text(TEXT.replace("within_seconds: promise", "within_seconds: 7"), encoding="utf-8")

    code, reported = run("check", "--slo", str(tmp_path / "slo.yaml"))

    assert code == 1
    assert "within_seconds: got 7" in reported


def test_init_writes_objectives_that_fit_the_settings_and_overwrites_nothing(tmp_path):
    mine, slo = tmp_path / "my.yaml", tmp_path / "new" / "slo.yaml"
    mine.write_text(
        "labels: {queues: [Sales, 'Returns, EU']}\npromises: {queues: {Sales: {limit_seconds: 60}}}\n", encoding="utf-8"
    )

    assert run("init", str(slo), "-c", str(mine))[0] == 0
    declaration = load(slo, load_settings(mine, {}))
    assert {name: each.queues for name, each in declaration.classes.items()} == {
        "urgent": ("Sales",),
        "standard": ("Returns, EU", "other"),
    }
    assert run("build", "--slo", str(slo), "--root", str(tmp_path), "-c", str(mine))[0] == 0

    code, reported = run("init", str(slo))
    assert code == 1
    assert "exists already and is not overwritten" in reported


def test_without_queues_in_the_settings_init_copies_the_objectives_of_csq(tmp_path):
    assert run("init", str(tmp_path / "slo.yaml"))[0] == 0
    assert (tmp_path / "slo.yaml").read_text(encoding="utf-8") == TEXT


def test_check_notes_where_objectives_and_promises_disagree(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "promises: {limit_seconds: 240, queues: {Billing: {limit_seconds: 60}}}\n", encoding="utf-8"
    )
    own = ("--slo", str(SLO), "--root", str(tmp_path), "-c", str(tmp_path / "my.yaml"))
    assert run("build", *own)[0] == 0
    code, reported = run("check", *own)
    assert code == 0
    assert "note: slos.reply-5m: within_seconds is 300, promised are 60, 240; `promise` follows them" in reported
    assert "note: classes: a class names 'billing', the settings promise for 'Billing'" in reported
    assert "first-response" not in reported
