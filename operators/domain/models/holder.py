"""The models this process holds: what scorers read and learners, here or in another process, write."""

from collections.abc import Iterable
from typing import Any


class Models(dict[str, Any]):
    """Tables by model name. The flow reads its first event when `complete`: when every learner has brought its model.

    >>> models = Models(("churn",))
    >>> models.complete()
    False
    >>> models["churn"] = "a table"
    >>> models.complete()
    True
    """

    def __init__(self, expected: Iterable[str]) -> None:
        super().__init__()
        self.expected = tuple(expected)
        self.hosted: set[str] = set()
        """Those whose learner lives in this process; nobody else may write them."""
        self.waits_for: tuple[str, ...] = ()
        """Other processes that do not have all models yet: they could not score what they were sent."""

    def missing(self) -> list[str]:
        """Expected models that are not there yet."""
        return [name for name in self.expected if name not in self]

    def complete(self) -> bool:
        """Whether every expected model is there, here and in the other processes."""
        return not self.waits_for and all(name in self for name in self.expected)
