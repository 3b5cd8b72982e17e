"""The mutants of a module: each is one small change to its source, found over its syntax tree.

Changed are comparisons, arithmetic, signs, `and`/`or`/`not`, conditions, numbers and booleans (default values too), calls
of `min`/`max`, `any`/`all` and `floor`/`ceil`, `break`/`continue`; statements that only have an effect are removed.

Changes that no test of behaviour can detect are left out: docstrings, annotations, decorators, class options, logging, the
text of errors, `assert`, `if TYPE_CHECKING`, the `strict` of `zip`, descriptions in `Meta`. So are the defaults of
settings (fields with a description), which `make check` compares with docs/settings.md, and tables of data, such as the
words of the lexicons with their valences. Strings are left out too: here they are names, nearly every test fails on a
wrong name, and the score would only look better.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
ARITHMETIC = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
OPERATOR = re.compile(rb"not\s+in\b|is\s+not\b|\bin\b|\bis\b|\band\b|\bor\b|[-+*/%&|<>=!]+")
LOGGERS = re.compile(r"_?log(ger)?$", re.IGNORECASE)
TABLE = 8
"""Literals from which on a dict at the top of a module is a table of data."""
SILENT_KEYWORDS = frozenset({"strict", "description", "title", "examples", "extra_json_schema"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """Bytes `start` to `end` of a module's source become `new`."""

    path: str
    line: int
    start: int
    end: int
    new: bytes
    lines: range
    """Lines of the changed statement: only tests that execute one of them can detect the change."""
    at_import: bool
    """Whether the statement is executed when the module is imported, before any test."""

    def apply(self, source: bytes) -> bytes:
        """The source of the mutated module."""
        return source[: self.start] + self.new + source[self.end :]

    def diff(self, source: bytes) -> str:
        """The lines changed, before and after."""
        first = source.rfind(b"\n", 0, self.start) + 1
        rest = source[self.end :].partition(b"\n")[0]
        last = self.end + len(rest)
        after = source[first : self.start] + self.new + rest
        return "\n".join(
            f"    {sign} {line.strip()}"
            for sign, text in (("-", source[first:last]), ("+", after))
            for line in text.decode().splitlines()
        )


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of its source."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.found), key=lambda mutant: (mutant.start, mutant.end, mutant.new))


def mutants_under(root: Path, folder: str) -> list[Mutant]:
    """All mutants of the modules in a folder, however deep; paths are relative to the root."""
    paths = sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*.py"))
    return [mutant for path in paths for mutant in mutants_of(path, (root / path).read_bytes())]


class _Finder(ast.NodeVisitor):
    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = range(0)
        self._functions: list[str] = []
        self.found: list[Mutant] = []

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _add(self, start: int, end: int, new: str | bytes) -> None:
        line = self._source.count(b"\n", 0, start) + 1
        text = new.encode() if isinstance(new, str) else new
        self.found.append(Mutant(self._path, line, start, end, text, self._lines, not self._functions))

    def _swap_between(self, left: ast.expr, right: ast.expr, news: tuple[str, ...]) -> None:
        """Replace the operator that stands between two operands."""
        start = self._end(left)
        match = OPERATOR.search(self._source, start, self._start(right))
        assert match is not None
        for new in news:
            self._add(match.start(), match.end(), new)

    # ---- statements

    def visit(self, node: ast.AST) -> None:
        """Visit a node; a statement says which lines the mutants inside it belong to."""
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        outer = self._lines
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        self._lines = range(node.lineno, max(last, node.lineno) + 1)
        if self._functions and _is_effect(node, self._functions[-1]):
            self._add(self._start(node), self._end(node), "pass")
        super().visit(node)
        self._lines = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Default values, then the body."""
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self._functions.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._functions.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body only."""
        for statement in node.body:
            self.visit(statement)

    def visit_Dict(self, node: ast.Dict) -> None:
        """The values; those of a table of data not."""
        literal = all(
            not isinstance(part, (ast.Name, ast.Attribute, ast.Call))
            for value in node.values
            for part in ast.walk(value)
        )
        if self._functions or not literal or len(node.values) < TABLE:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value only; that of a setting not."""
        if node.value is not None and "description=" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Nothing inside: it is the text of an error."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Nothing inside."""

    def visit_If(self, node: ast.If) -> None:
        """The condition and both branches."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """The condition and the body."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """The operator and the value."""
        if new := ARITHMETIC.get(type(node.op)):
            self._swap_between(node.target, node.value, (f"{new}=",))
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        """To `continue`."""
        self._add(self._start(node), self._end(node), "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        """To `break`."""
        self._add(self._start(node), self._end(node), "break")

    # ---- expressions

    def _negate(self, test: ast.expr) -> None:
        """A condition whose operator is not changed anyway."""
        if isinstance(test, (ast.Compare, ast.BoolOp, ast.Constant)):
            return
        if not isinstance(test, ast.UnaryOp):
            start, end = self._start(test), self._end(test)
            self._add(start, end, b"not (" + self._source[start:end] + b")")

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """The condition and both values."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Each operator: at its boundary, and to its opposite."""
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            self._swap_between(left, right, COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Each `and` to `or`, each `or` to `and`."""
        new = "or" if isinstance(node.op, ast.And) else "and"
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap_between(left, right, (new,))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Arithmetic; `|` at the top of a module joins types."""
        new = ARITHMETIC.get(type(node.op))
        if new and (self._functions or not isinstance(node.op, ast.BitOr)):
            self._swap_between(node.left, node.right, (new,))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A sign or a `not` is removed."""
        if isinstance(node.op, (ast.USub, ast.Not)):
            start = self._start(node)
            match = re.compile(rb"not\s*|-").match(self._source, start)
            assert match is not None
            self._add(start, match.end(), "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """The function, where it has a counterpart, and the arguments."""
        if isinstance(node.func, ast.Attribute) and LOGGERS.match(ast.unparse(node.func.value).rsplit(".")[-1]):
            return
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if new := SWAPPED_CALLS.get(name):
            end = self._end(node.func)
            self._add(end - len(name), end, new)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """A keyword argument, if it has to do with what is computed."""
        if node.arg not in SILENT_KEYWORDS:
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Nothing inside: it is text."""

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number to its next or its double, a boolean to the other."""
        start, end = self._start(node), self._end(node)
        match node.value:
            case bool(value):
                self._add(start, end, str(not value))
            case int(value):
                self._add(start, end, str(value + 1))
            case float(value):
                self._add(start, end, repr(value * 2 if value else 1.0))


def _is_effect(node: ast.stmt, function: str) -> bool:
    """Whether a statement can be removed and leaves a function that still runs."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=value))):
            return not LOGGERS.match(ast.unparse(value).rsplit(".")[-1])
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete() | ast.Raise():
            return True
        case ast.Assign(targets=[*targets]):
            return function != "__init__" and all(isinstance(t, (ast.Attribute, ast.Subscript)) for t in targets)
    return False
