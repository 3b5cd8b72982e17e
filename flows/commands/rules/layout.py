"""Layout: PromQL that the builders make, indented by its brackets, so that a rule file can be read."""

import re

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
