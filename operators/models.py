"""The models this process holds: what scorers read and learners write."""

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

    def complete(self) -> bool:
        """Whether every expected model is there."""
        return all(name in self for name in self.expected)
