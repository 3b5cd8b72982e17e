"""Rule files: groups of rules as YAML for Prometheus, their PromQL indented by its brackets."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from flows.commands.rules.burns import span
from flows.commands.rules.declaration import Declaration
from flows.commands.rules.rule import AlertRule, RecordingRule, RuleGroup

HEAD = "# Generated from config/slo.yaml by `csq rules build`; do not edit.\n"


class Dumper(yaml.SafeDumper):
    """Dumps text of several lines as a block, without wrapping."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 - any plain data
        """Never write an anchor; not every reader supports them."""
        del data
        return True


def _represent_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _represent_text)


def dumped(data: object) -> str:
    """Plain data as YAML, keys in their order."""
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9)
    return HEAD + text


def rule_file(groups: Sequence[RuleGroup], declaration: Declaration) -> str:
    """A rule file of Prometheus 2.42 and later."""
    return dumped(
        {
            "groups": [
                {
                    "name": group.name,
                    "interval": span(group.seconds),
                    "rules": [_rule(rule, declaration) for rule in group.rules],
                }
                for group in groups
            ]
        }
    )


def _rule(rule: RecordingRule | AlertRule, declaration: Declaration) -> dict[str, Any]:
    if isinstance(rule, RecordingRule):
        labels = {"labels": rule.labels} if rule.labels else {}
        return {"record": rule.record, "expr": laid_out(rule.expr)} | labels
    wait = {"for": span(rule.for_seconds)} if rule.for_seconds else {}
    written = {"alert": rule.name, "expr": laid_out(rule.condition())} | wait
    return written | {"labels": rule.all_labels(), "annotations": rule.annotations(declaration)}


STEP = "  "
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def laid_out(expr: str) -> str:
    r"""The lines of `expr`, indented.

    >>> print(laid_out("(\na\n)\n/\nclamp_min(\nb, 0)"))
    (
      a
    )
    /
    clamp_min(
      b, 0)
    """
    depth, lines = 0, []
    for line in (line.strip() for line in expr.strip().split("\n")):
        closed = len(line) - len(line.lstrip(")"))
        lines.append(f"{STEP * (depth - closed)}{line}")
        bare = _QUOTED.sub("", line)
        depth += bare.count("(") - bare.count(")")
    return "\n".join(lines)
