"""Mood: a sentiment model as the learn stage wants it: what was published is judged first, then learned from."""

from typing import Any

from operators.domain.models import sentiment
from operators.domain.models.example import Example
from operators.domain.models.prequential import Prequential, log_loss_one
from operators.domain.models.sentiment import CLASSES, SentimentParams
from operators.domain.models.vectors import Vector
from operators.domain.stage.stage import Measurement, check_version


class Learner:
    """The one writer of a sentiment model; `name` is the model's, such as ``sentiment/en``.

    >>> learner = Learner("sentiment/en", SentimentParams())
    >>> learner.judge_one(Example(b"", (0.7, 0.2, 0.1), "negative", 1.0, 60.0))
    ((0.7, 0.2, 0.1), 'negative')
    """

    def __init__(self, name: str, params: SentimentParams) -> None:
        self._learner = sentiment.Learner(params)
        self.table = self._learner.table
        self.judge = Prequential(name)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Examples learned, refused, rolled back."""
        return self._learner.learned, self._learner.refused, self._learner.rollbacks

    def judge_one(self, example: Example) -> tuple[tuple[float, ...], str]:
        """Judge the published probabilities against what a person read."""
        probabilities: tuple[float, ...] = tuple(example.published)
        true = CLASSES.index(example.label)
        said = probabilities.index(max(probabilities))
        self.judge.judge_one(
            loss=log_loss_one(probabilities[true]),
            right=said == true,
            confidence=probabilities[said],
            delay_seconds=example.delay_seconds,
        )
        return probabilities, example.label

    def learn_one(self, example: Example) -> None:
        """Learn from the vector that the score was made from; a weak label moves the weights less."""
        self._learner.learn_one(Vector("", example.x, 0.0, is_question=False), example.label, example.weight)

    def changes(self) -> sentiment.Change:
        """Weights that changed since this was last asked for."""
        return self._learner.changes()

    def measure(self) -> list[Measurement]:
        """What ``observe`` exports."""
        return self.judge.measure()

    def state(self) -> dict[str, Any]:
        """Versioned plain data: the model's own state carries its version."""
        return {"v": 1, "model": self._learner.state(), "judge": self.judge.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        check_version("sentiment", state, 1)
        self._learner.restore(state["model"])
        self.judge.restore(state["judge"])
