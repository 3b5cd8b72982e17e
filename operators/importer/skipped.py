"""Skipped: the values for which `skip` has left out events, so that a misspelt one is seen."""

from collections import Counter

from operators.importer.errors import shown

_KEPT = 1_000
"""Values of a field that are counted by name; the rest is counted together."""
_LISTED = 20
"""Values of a field that are listed, the most frequent first."""


class Skipped:
    """Counts values by field.

    >>> skipped = Skipped()
    >>> for text in ("agnet", "", "agnet"):
    ...     skipped.add("csq.message.created, data.author.role: column `from`", text)
    >>> skipped.lines()
    ["csq.message.created, data.author.role: column `from` is 'agnet' (2 times), empty (1)"]
    """

    def __init__(self) -> None:
        self._values: dict[str, Counter[str]] = {}
        self._others: Counter[str] = Counter()

    def add(self, where: str, text: str) -> None:
        """Count an event that is not made because `text` stands at `where`."""
        values = self._values.setdefault(where, Counter())
        if text in values or len(values) < _KEPT:
            values[text] += 1
        else:
            self._others[where] += 1

    def lines(self) -> list[str]:
        """One line for each field: its values and how often they came."""
        return [f"{where} is {', '.join(self._listed(where))}" for where in sorted(self._values)]

    def _listed(self, where: str) -> list[str]:
        values = sorted(self._values[where].items(), key=lambda item: (-item[1], item[0]))
        named = [f"{shown(text) if text else 'empty'} ({count})" for text, count in values[:_LISTED]]
        named[0] = f"{named[0][:-1]} times)"
        others = self._others[where] + sum(count for _, count in values[_LISTED:])
        return [*named, f"others ({others})"] if others else named
