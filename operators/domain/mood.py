"""Temporary seam."""

from operators.domain import sentiment
from operators.domain.prequential import Prequential, log_loss_one
from operators.domain.vectors import Vector


class Learner:
    def __init__(self, name, params):
        self.inner = sentiment.Learner(params)
        self.table = self.inner.table
        self.judge = Prequential(name)
        self.name = name

    @property
    def examples(self):
        return self.inner.learned

    @property
    def refused(self):
        return self.inner.refused

    @property
    def rollbacks(self):
        return self.inner.rollbacks

    def judge_one(self, example):
        probabilities = example.published
        at = sentiment.CLASSES.index(example.label)
        said = max(range(3), key=probabilities.__getitem__)
        self.judge.judge_one(
            loss=log_loss_one(probabilities[at]),
            right=said == at,
            confidence=probabilities[said],
            delay_seconds=example.delay_seconds,
        )
        return tuple(probabilities), example.label

    def learn_one(self, example):
        self.inner.learn_one(Vector("", example.x, 0.0, False), example.label, example.weight)

    def measure(self):
        return self.judge.measure()

    def state(self):
        return {"inner": self.inner.state(), "judge": self.judge.state()}

    def restore(self, state):
        self.inner.restore(state["inner"])
        self.judge.restore(state["judge"])
