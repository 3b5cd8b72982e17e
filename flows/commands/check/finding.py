"""One finding of `csq check`: what was looked at, how it is, and what to do."""

from typing import Any, Literal, Self

from msgspec import Struct

from operators.documents.secret import hidden

Status = Literal["ok", "warn", "fail"]


class Finding(Struct, frozen=True):
    """`warn`: csq runs, but perhaps not as intended; `fail`: it does not run.

    >>> print(Finding.warn("state", "state.directory is not set.", "Name a folder.").line())
    warn  state       state.directory is not set. Name a folder.
    """

    status: Status
    check: str
    """settings, calendar, web, port, state, labels, clock, brokers, credentials, topic, positions, ids, output,
    retention or group."""
    says: str
    todo: str = ""

    @classmethod
    def ok(cls, check: str, says: str) -> Self:
        """All is well."""
        return cls("ok", check, says)

    @classmethod
    def warn(cls, check: str, says: str, todo: str) -> Self:
        """It runs, but."""
        return cls("warn", check, says, todo)

    @classmethod
    def fail(cls, check: str, says: str, todo: str) -> Self:
        """It does not run."""
        return cls("fail", check, says, todo)

    def line(self) -> str:
        """For a person."""
        return hidden(f"{self.status:<5} {self.check:<12}{self.says}{f' {self.todo}' if self.todo else ''}")

    def entry(self) -> dict[str, Any]:
        """For a program."""
        return {"check": self.check, "status": self.status, "says": hidden(self.says), "todo": hidden(self.todo)}
