"""Build: every file that is generated from the declaration, written or held against what is committed."""

from collections.abc import Sequence
from pathlib import Path

from flows.commands.rules import burn_alerts, level_records, model_alerts, pipeline_alerts, service_alerts, slo_records
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.grafana_alerts import managed
from flows.commands.rules.index import index
from flows.commands.rules.rule import AlertRule, RecordingRule, RuleGroup
from flows.commands.rules.rule_files import rule_file

PROMETHEUS = "config/prometheus"
PARTS = {
    "slo": slo_records,
    "levels": level_records,
    "slo-alerts": burn_alerts,
    "pipeline-alerts": pipeline_alerts,
    "service-alerts": service_alerts,
    "model-alerts": model_alerts,
}
"""Name of each rule file, and who builds its groups."""


def rule_groups(declaration: Declaration) -> dict[str, list[RuleGroup]]:
    """The groups of each rule file."""
    return {name: part.groups(declaration) for name, part in PARTS.items()}


def alerts(declaration: Declaration) -> list[AlertRule]:
    """Every alert, in the order of the files."""
    return [alert for groups in rule_groups(declaration).values() for group in groups for alert in group.alerts()]


def records(declaration: Declaration) -> list[RecordingRule]:
    """Every recording rule, in the order of the files."""
    return [record for groups in rule_groups(declaration).values() for group in groups for record in group.records()]


def files(declaration: Declaration) -> dict[str, str]:
    """Path, from the root of the project, and content."""
    parts = rule_groups(declaration)
    return {
        **{f"{PROMETHEUS}/{name}.rules.yaml": rule_file(groups, declaration) for name, groups in parts.items()},
        "grafana/provisioning/alerting/rules.yaml": managed(parts, declaration),
        "docs/alerts.md": index(parts, declaration),
    }


def write(declaration: Declaration, root: Path) -> list[str]:
    """Write every file below `root`, remove rule files that are not built any more; return what changed."""
    changed = stale(declaration, root)
    for name in _left_over(root):
        (root / name).unlink()
    for name, text in files(declaration).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return changed


def stale(declaration: Declaration, root: Path) -> list[str]:
    """The files below `root` that are stale."""
    wrong = [name for name, text in files(declaration).items() if not _is(root / name, text)]
    return [*wrong, *_left_over(root)]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _left_over(root: Path) -> Sequence[str]:
    return sorted(
        f"{PROMETHEUS}/{path.name}"
        for path in (root / PROMETHEUS).glob("*.rules.yaml")
        if path.name.removesuffix(".rules.yaml") not in PARTS
    )


def names(declaration: Declaration) -> frozenset[str]:
    """The name of every recorded series."""
    return frozenset(record.record for record in records(declaration))
