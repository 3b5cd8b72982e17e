"""The models of this process: the weights that scorers read and one learner, here or in another process, writes."""

from collections.abc import Iterable
from typing import Any


class Models(dict[str, Any]):
    """Weights by model name. The flow reads its first event once `complete` is true.

    >>> models = Models(("churn",))
    >>> models.complete()
    False
    >>> models["churn"] = "weights"
    >>> models.complete()
    True
    """

    def __init__(self, expected: Iterable[str]) -> None:
        super().__init__()
        self.expected = tuple(expected)
        self.hosted: set[str] = set()
        """Models whose learner runs in this process; only that learner writes their weights."""
        self.waits_for: tuple[str, ...] = ()
        """Other processes that do not have all models yet and cannot score the events sent to them."""

    def missing(self) -> list[str]:
        """Expected models that have not been loaded."""
        return [name for name in self.expected if name not in self]

    def complete(self) -> bool:
        """Whether this process and all other processes have every expected model."""
        return not self.waits_for and all(name in self for name in self.expected)
