"""Tasks: how a score is judged by its label, and what sums up many of them."""

import math

import pytest
from river import metrics

from operators.domain.models.tasks import BinaryTask, ClassesTask, NumberTask, Task, Verdict, macro_f1

CLASSES = ClassesTask(("negative", "neutral", "positive"))


def verdicts(*pairs: tuple[object, object]) -> list[Verdict]:
    return [Verdict("m", published, label) for published, label in pairs]


def test_classes_have_the_log_loss_of_the_true_class_and_the_confidence_of_the_predicted_one() -> None:
    judgement = CLASSES.judge_one((0.7, 0.2, 0.1), "neutral")
    assert judgement.loss == pytest.approx(-math.log(0.2))
    assert (judgement.right, judgement.confidence, judgement.score) == (False, 0.7, None)
    assert CLASSES.judge_one([0.1, 0.2, 0.7], "positive").right


def test_a_label_outside_the_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="tuple"):
        CLASSES.judge_one((0.7, 0.2, 0.1), "angry")


@pytest.mark.parametrize(("p", "label", "right"), [(0.9, True, True), (0.9, False, False), (0.5, False, True)])
def test_two_classes_are_divided_at_one_half(p: float, label: bool, right: bool) -> None:
    judgement = BinaryTask().judge_one(p, label)
    assert judgement.loss == pytest.approx(-math.log(p if label else 1 - p))
    assert (judgement.right, judgement.confidence) == (right, max(p, 1 - p))
    assert (judgement.score, judgement.truth) == (p, label)


def test_a_number_has_the_absolute_error_and_no_confidence() -> None:
    assert NumberTask(1.0).judge_one(2.0, 4.5) == (2.5, False, None, None, False)
    assert NumberTask(1.0).judge_one(2.0, 3.0).right


@pytest.mark.parametrize("task", [CLASSES, BinaryTask(), NumberTask(1.0)])
def test_no_verdicts_have_no_figures(task: Task) -> None:
    assert task.figures([]) == {"n": 0}


def test_figures_of_classes() -> None:
    found = CLASSES.figures(verdicts(((0.7, 0.2, 0.1), "negative"), ((0.5, 0.4, 0.1), "neutral")))
    assert found == {
        "n": 2,
        "accuracy": 0.5,
        "baseline_accuracy": 0.5,
        "macro_f1": pytest.approx((2 / 3 + 0) / 2),
        "log_loss": pytest.approx(-(math.log(0.7) + math.log(0.4)) / 2),
    }


def test_figures_of_two_classes() -> None:
    found = BinaryTask().figures(verdicts((0.9, True), (0.6, False), (0.2, False), (0.4, True)))
    assert (found["n"], found["accuracy"], found["macro_f1"], found["auc"]) == (4, 0.5, 0.5, 0.75)
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + 2 * math.log(0.4) + math.log(0.8)) / 4)


def test_figures_of_numbers() -> None:
    assert NumberTask(1.0).figures(verdicts((2.0, 4.0), (3.0, 3.5))) == {
        "n": 2,
        "accuracy": 0.5,
        "baseline_accuracy": 1.0,
        "mean_absolute_error": 1.25,
        "baseline_mean_absolute_error": 0.5,
    }


def test_the_baseline_of_numbers_is_the_mean_of_all_labels_before() -> None:
    task, judged = NumberTask(1.0), verdicts((2.0, 4.0), (3.0, 2.0), (3.0, 3.0), (3.0, 6.0))
    alone = task.figures(judged[2:])
    assert (alone["baseline_accuracy"], alone["baseline_mean_absolute_error"]) == (0.0, 3.0)  # 3 for 6
    informed = task.figures(judged[2:], judged[:2])
    assert (informed["baseline_accuracy"], informed["baseline_mean_absolute_error"]) == (0.5, 1.5)  # 3 for 3, 3 for 6
    first = task.figures(judged[:1])
    assert (first["baseline_accuracy"], first["baseline_mean_absolute_error"]) == (None, None)


def test_the_baseline_of_classes_is_the_most_frequent_one() -> None:
    rows = [((0.7, 0.2, 0.1), "negative")] * 3 + [((0.7, 0.2, 0.1), "positive")]
    assert CLASSES.figures(verdicts(*rows))["baseline_accuracy"] == 0.75
    assert BinaryTask().figures(verdicts((0.9, True), (0.9, False), (0.1, False)))["baseline_accuracy"] == 2 / 3


def test_macro_f1_agrees_with_river() -> None:
    predicted, true = [n * 7 % 3 for n in range(50)], [n % 5 % 3 for n in range(50)]
    river = metrics.MacroF1()
    for said, truth in zip(predicted, true, strict=True):
        river.update(truth, said)
    assert macro_f1(predicted, true) == pytest.approx(river.get())
