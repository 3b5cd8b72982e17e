"""Proposal: what was guessed of a file, as the YAML of a mapping with comments."""

import io
import json
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from operators.documents.load import DocumentError
from operators.importer.errors import ImporterError
from operators.importer.guess import (
    CLOCK,
    DONE,
    RATINGS,
    ZONE,
    ZONE_NAME,
    Guess,
    GuessedColumn,
    is_public,
    is_role,
    scale_of,
)
from operators.importer.plan import load_mapping
from operators.importer.query import quoted
from operators.importer.sample import printable, sample, yaml_of
from operators.importer.write import import_file

SHOWN = 5
"""Rows that are shown as events."""
KNOWN = {
    "zendesk_tickets": {"Summation column", "First reply time in minutes"},
    "intercom_conversations": {"Conversation ID", "Current conversation state"},
    "freshdesk_tickets": {"Ticket ID", "Initial response time", "Survey results"},
    "chatwoot_csat": {"Link to the conversation", "Recorded date"},
    "sheet": {"ticket", "time", "who", "text"},
}
"""Mappings in config/imports and columns by which their files are known."""
_BOOLEANS = ("true", "True", "TRUE", "false", "False", "FALSE")
_CHAT = re.compile(r"^\W*\d{1,4}[./-]\d{1,2}[./-]\d{2,4},? .{0,8}\d{1,2}[:.]\d{2}.{0,12}( - |\] ).+:", re.MULTILINE)
"""A line of a WhatsApp chat."""
_KINDS = {
    "role": "who wrote",
    "text": "text",
    "conversation": "conversation",
    "message": "id of the row",
    "parent": "the row that it answers",
    "public": "whether it is a note",
    "customer": "customer",
    "author": "author",
    "agent": "agent",
    "status": "status",
    "rating": "rating",
    "queue": "queue",
    "channel": "channel",
}
"""What a column may be taken for, in words."""


def propose(path: Path) -> str:
    """A mapping for the file `path`, and as comments below it what it makes of the first rows.

    Raises:
        FileError: the file cannot be read, or is neither text nor JSON.
    """
    text = guess(path)
    with TemporaryDirectory() as folder:
        mapping = Path(folder) / "mapping.yaml"
        mapping.write_text(text, "utf-8")
        out = io.BytesIO()
        said: list[str] = []
        try:
            import_file(load_mapping(mapping), path, out, strict=False, report=said.append, limit=SHOWN)
        except (ImporterError, DocumentError) as error:
            said.append(str(error))
    events = [f"#   {printable(line)}" for line in out.getvalue().decode().split("\n") if line]
    bad = [f"# ? {printable(line)}" for line in said]
    return "\n".join([text, f"# What it makes of the first {SHOWN} rows:", *events, *bad, ""])


def guess(path: Path) -> str:
    """A mapping for the file `path`, as YAML with comments.

    Raises:
        FileError: it cannot be read, or is neither text nor JSON.
    """
    found = sample(path)
    return _Writer(path, Guess(found)).text()


class _Writer:
    """Writes what was guessed; `# ?` marks what was not decided."""

    def __init__(self, path: Path, guessed: Guess) -> None:
        self.path = path
        self.guess = guessed
        self.lines: list[str] = []

    def text(self) -> str:
        found, lines = self.guess.found, self.lines
        name = printable(self.path.name)
        lines.append(f"# A guess for {name}, from {len(found.rows)} rows. `# ?` marks what was not decided.")
        lines += [f"# {column.name}: {self._about(column)}" for column in self.guess.columns]
        lines += [f"# ? {doubt}" for doubt in found.doubts]
        lines += self._known()
        source = re.sub(r"[^A-Za-z0-9_-]+", "-", self.path.name.partition(".")[0])
        lines.append(f"source: {source or 'import'}")
        g = self.guess
        is_messages = g.text is not None and (
            g.role is not None or g.conversation is None or g.conversation.different < len(found.rows)
        )
        self._file()
        self._times([("at", g.at), ("done", None if is_messages else g.done_at)])
        named = _template(g.conversation or g.message)
        if g.parent is not None and g.message is not None:
            lines += ["group:", f"  column: {yaml_of(g.message.name)}", f"  parent: {yaml_of(g.parent.name)}"]
            lines += ["  order: at", "  root: begin of the replies"]
            named = '"{begin of the replies}"'
        elif g.conversation is None:
            named += " # ? no column names the conversation: each row has its own"
        shared = [
            f"conversation_id: {named}",
            f"customer_id: {_column(g.customer, named)}",
            f"channel: {_or(g.channel, 'other')}",
            f"queue: {_or(g.queue, 'none')}",
        ]
        lines += ["data:", *(f"  {line}" for line in shared), "events:"]
        if is_messages:
            self._messages()
        else:
            self._tickets()
        return "\n".join(lines) + "\n"

    def _about(self, column: GuessedColumn) -> str:
        if column.name in self.guess.times:
            return f"time, {' or '.join(self.guess.times[column.name].formats)}; {column.filled:.0%} filled"
        kind = next((words for name, words in _KINDS.items() if getattr(self.guess, name) == column), "not used")
        return f"{kind}; {column.filled:.0%} filled, {column.different} different"

    def _known(self) -> list[str]:
        names = set(self.guess.found.names)
        found = [name for name, columns in KNOWN.items() if columns <= names]
        rows = [" ".join(row) for row in self.guess.found.rows]
        if sum(_CHAT.match(row) is not None for row in rows) * 2 > len(rows):
            found = ["whatsapp"]
        return [f"# This looks like a file for config/imports/{name}.yaml: try that first." for name in found[:1]]

    def _file(self) -> None:
        lines = self.guess.found.file
        if excel := [quoted(name) for name, times in self.guess.times.items() if times.formats == ["excel"]]:
            made = [
                f"TIMESTAMP '1899-12-30' + to_seconds(round(86400 * CAST({name} AS DOUBLE))) AS {name}"
                for name in excel
            ]
            listed = ", ".join(made)
            sql = f"SELECT * REPLACE ({listed}) FROM {self.guess.found.relation}"  # noqa: S608 - for a person to read
            lines = [f"sql: {yaml_of(sql)}"]
        if lines:
            self.lines += ["file:", *(f"  {line}" for line in lines)]

    def _times(self, times: list[tuple[str, GuessedColumn | None]]) -> None:
        self.lines.append("times:")
        for name, column in times:
            if column is not None:
                self.lines.append(f"  {name}: {self._time(column)}")
        if self.guess.at is None:
            self.lines.append(
                '  at: {start: "2020-01-01T00:00:00Z", step_seconds: 60} # ? no column is a time: a minute per row'
            )

    def _time(self, column: GuessedColumn) -> str:
        formats, others = self.guess.times[column.name]
        shown = ["iso" if each == "excel" else each for each in formats]
        parts, doubts = [f"column: {yaml_of(column.name)}"], []
        if shown != ["iso"]:
            parts.append(f"formats: {yaml_of(shown)}")
        if other := next((each for each in others if {each[:2], shown[0][:2]} == {"%d", "%m"}), None):
            doubts.append(f"day or month first? {other} is possible too")
        if not (shown[0].startswith("epoch") or "%z" in shown[0] or all(map(ZONE.search, column.cells))):
            named = ZONE_NAME.search(column.name)
            parts.append(f"zone: {yaml_of(named[1]) if named else 'UTC'}")
            doubts += [] if named else ["no zone in the file: taken as UTC"]
        clock = next((each.name for each in self.guess.columns if all(map(CLOCK.fullmatch, each.cells))), None)
        if clock is not None and not any(":" in cell for cell in column.cells):
            doubts.append(f"the time of day is in `{clock}`: join both in a query")
        return "{" + ", ".join(parts) + "}" + (f" # ? {'; '.join(doubts)}" if doubts else "")

    def _event(self, kind: str, ident: str, time: str, data: list[str], when: str | None = None) -> None:
        self.lines += [f"  - type: {kind}", f"    id: {ident}", f"    time: {time}"]
        self.lines += [f"    when: [{when}]"] * (when is not None)
        self.lines += ["    data:", *(f"      {line}" for line in data)] if data else []

    def _messages(self) -> None:
        g = self.guess
        ident = _template(g.message)
        who = g.author or g.role or g.customer
        data = [
            f"message_id: {ident}",
            f"author.role: {self._role()}",
            f"author.id: {{column: {yaml_of(who.name)}, default: unknown}}" if who else "author.id: unknown # ?",
            f'text: {{column: {yaml_of(g.text.name if g.text else "")}, default: ""}}',
        ]
        if g.public is not None:
            notes = {} if is_public(g.public) else {word: word[0] in "fF" for word in _BOOLEANS}
            turned = f", map: {yaml_of(notes)}" if notes else ""
            data.append(f"is_public: {{column: {yaml_of(g.public.name)}{turned}, default: true}}")
        self._event("csq.message.created", ident + self._doubt_of(g.message), "at", data)
        once = g.rating is not None and g.rating.name.startswith("outer.")
        self._rating(_template(g.conversation) if once else ident)

    def _doubt_of(self, column: GuessedColumn | None) -> str:
        if column is None:
            return " # ? no column is unique: the number of the row"
        repeats = len(column.cells) - column.different
        return f" # ? comes again in {repeats} rows, which csq drops as duplicates" if repeats else ""

    def _role(self) -> str:
        column = self.guess.role
        if column is None:
            return "customer # ? no column says who wrote: all are taken as the customer's"
        values = [value for value, _ in Counter(column.cells).most_common()]
        known = {value: role for value in values if (role := is_role(column, value)) is not None}
        unknown = [value for value in values if value not in known]
        listed = ", ".join(f"{yaml_of(value)}: {role}" for value, role in known.items())
        doubts = [f"also has: {printable(', '.join(unknown))}"] if unknown else []
        if "user" in known and list(known.values()).count("customer") > 1:
            doubts.append("is a user a customer or an agent?")
        mark = f" # ? {'; '.join(doubts)}" if doubts else ""
        return f"{{column: {yaml_of(column.name)}, map: {{{listed}}}, skip: true}}{mark}"

    def _tickets(self) -> None:
        g = self.guess
        ident = _template(g.conversation or g.message)
        agent = [f"agent_id: {_template(g.agent)}"] if g.agent else []
        self._event("csq.conversation.opened", _with(ident, "opened"), "at", agent)
        if g.text is not None:
            who = _column(g.customer, ident)
            self._event(
                "csq.message.created",
                _with(ident, "1"),
                "at",
                [
                    f"message_id: {_with(ident, '1')}",
                    "author.role: customer # ? a row per ticket: taken as the customer's first message",
                    f"author.id: {who}",
                    f'text: {{column: {yaml_of(g.text.name)}, default: ""}}',
                ],
            )
        if g.done_at is not None or g.status is not None:
            when, time, mark = [], "done", ""
            if g.status is not None:
                done = sorted({cell for cell in g.status.cells if cell.lower() in DONE})
                when.append(f"{{column: {yaml_of(g.status.name)}, in: {yaml_of(done)}}}")
            if g.done_at is not None:
                when.append(f"{{column: {yaml_of(g.done_at.name)}, empty: false}}")
            else:
                time, mark = "at", " # ? no column says when it was resolved"
            self._event("csq.conversation.resolved", _with(ident, "resolved"), time + mark, agent, ", ".join(when))
        self._rating(ident)

    def _rating(self, ident: str) -> None:
        column = self.guess.rating
        if column is None:
            return
        scale, mark, score = scale_of(column), " # ? the smallest usual scale that holds all", yaml_of(column.name)
        if scale is None:
            scale, mark = (0, 1), ""
            words = {cell: RATINGS[cell.lower()] for cell in sorted(set(column.cells)) if cell.lower() in RATINGS}
            score = f"{score}, map: {yaml_of(words)}, skip: true"
        self._event(
            "csq.feedback.submitted",
            _with(ident, "rating"),
            "at # ? the time of the row, not of the rating",
            [
                f"feedback_id: {_with(ident, 'rating')}",
                "kind: csat",
                f"score: {{column: {score}}}",
                f"scale_min: {scale[0]}{mark}",
                f"scale_max: {scale[1]}",
            ],
            f"{{column: {yaml_of(column.name)}, empty: false}}",
        )


def _template(column: GuessedColumn | None) -> str:
    return yaml_of(f"{{{column.name}}}") if column is not None else '"{$row}"'


def _with(ident: str, what: str) -> str:
    return yaml_of(f"{json.loads(ident)}-{what}")


def _column(column: GuessedColumn | None, instead: str) -> str:
    if column is None:
        return f"{instead.partition(' # ')[0]} # ? no column names the customer: each conversation has its own"
    return f"{{column: {yaml_of(column.name)}, default: unknown}}"


def _or(column: GuessedColumn | None, constant: str) -> str:
    return f"{{column: {yaml_of(column.name)}, default: {constant}}}" if column is not None else f"{constant} # ?"
