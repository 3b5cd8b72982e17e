"""Accuracy and cost of the sentiment models on real messages: ``python -m bench.sentiment DATA_DIR``.

Each message is scored before the model learns it. Tweets are in order of time; the Chinese reviews (two classes, used
as negative and positive) are shuffled with a fixed seed. `lexicon` is the model before its first example. Times are CPU
times, the best of several rounds over texts whose words are in the memo; `cold` is the first round.
"""

import csv
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from operators.domain.models.model import Example
from operators.domain.models.sentiment import CLASSES, SentimentLearner, SentimentParams
from operators.domain.models.vectors import Vectors
from operators.domain.text import vectorize
from operators.domain.text.clean import clean_many
from operators.domain.text.vectorize import Vectorizer

Labelled = tuple[list[str], list[str], str]
"""Raw texts, labels, language."""
SEED = 7
ROUNDS = 5
TIMED = 4_096


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def tweets(folder: Path) -> Labelled:
    """English tweets to airlines in order of time."""
    rows = sorted(_rows(folder / "airline_tweets/airline_tweets.csv"), key=lambda row: row["tweet_created"])
    return [row["text"] for row in rows], [row["airline_sentiment"] for row in rows], "en"


def _reviews(path: Path) -> Labelled:
    rows = _rows(path)
    random.Random(SEED).shuffle(rows)  # noqa: S311 - an order, not a secret
    return [row["review"] for row in rows], [CLASSES[2 * int(row["label"])] for row in rows], "zh"


def _example(features: bytes, label: str) -> Example:
    return Example(features, None, label, 1.0, 0.0)


def prequential(vectors: Vectors, labels: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of each message before its label was learned."""
    learner = SentimentLearner(SentimentParams())
    scored = np.empty((len(vectors), len(CLASSES)))
    for place, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        scored[place] = learner.weights.score_one(vector.features)
        learner.learn_one(_example(vector.features, label))
    return scored


def judge(scored: NDArray[np.float64], labels: Sequence[str]) -> tuple[float, float, float]:
    """Accuracy, macro-F1 and log loss over the classes that occur."""
    truth = np.array([CLASSES.index(label) for label in labels])
    present = np.unique(truth)
    said = present[scored[:, present].argmax(axis=1)]
    scores = []
    for one in present:
        right = np.sum((said == one) & (truth == one))
        scores.append(2 * right / (np.sum(said == one) + np.sum(truth == one)))
    loss = -np.log(np.maximum(scored[np.arange(len(truth)), truth], 1e-9)).mean()
    return float(np.mean(said == truth)), float(np.mean(scores)), float(loss)


def _say(name: str, scored: NDArray[np.float64], labels: Sequence[str]) -> None:
    fifth = len(labels) // 5
    for part, chosen in (("all", slice(None)), ("last fifth", slice(len(labels) - fifth, None))):
        accuracy, macro_f1, loss = judge(scored[chosen], labels[chosen])
        print(f"{name:24} {part:10}  accuracy {accuracy:.3f}  macro-F1 {macro_f1:.3f}  log loss {loss:.3f}")


def _best(work: Callable[[], object], messages: int) -> tuple[float, float]:
    """Microseconds per message: the first round, and the best one."""
    times = []
    for _ in range(ROUNDS):
        begun = process_time()
        work()
        times.append((process_time() - begun) / messages * 1e6)
    return times[0], min(times)


def _vectorize_all(vectorizer: Vectorizer, parts: list[list[str]], language: str) -> list[Vectors]:
    return [vectorizer.vectorize_many(part, [language] * len(part)) for part in parts]


def _cost(name: str, texts: list[str], labels: list[str], language: str) -> None:
    texts, labels = texts[:TIMED], labels[:TIMED]
    cold, warm = _best(lambda: clean_many(texts), len(texts))
    print(f"{name:24} clean {warm:.2f} us (cold {cold:.2f})")
    cleaned = clean_many(texts)
    learner = SentimentLearner(SentimentParams())
    for batch in (1, 32, 256):
        vectorizer = Vectorizer(vectorize.VectorizeParams())
        parts = [cleaned[at : at + batch] for at in range(0, len(cleaned), batch)]
        read = partial(_vectorize_all, vectorizer, parts, language)
        cold, warm = _best(read, len(texts))
        vectors = read()
        _, single = _best(lambda: [part.tolist() for part in vectors], len(texts))  # noqa: B023 - called before the next turn
        _, score = _best(lambda: [learner.weights.score_many(part) for part in vectors], len(texts))  # noqa: B023 - as above
        print(
            f"{name:24} batch {batch:3}  vectorize {warm:.2f} us (cold {cold:.2f})  "
            f"as single vectors {single:.2f} us  score {score:.2f} us"
        )
    examples = [_example(vector.features, label) for vector, label in zip(vectors[0], labels, strict=False)]
    _, learn = _best(lambda: list(map(learner.learn_one, examples)), len(examples))
    print(f"{name:24} learn_one {learn:.0f} us")


def main(folder: Path) -> None:
    """Print the figures of each data set."""
    chinese = {"waimai": "waimai_10k/waimai_10k.csv", "hotel": "hotel_reviews_zh/ChnSentiCorp_htl_all.csv"}
    sets = {"airline tweets": tweets(folder)} | {name: _reviews(folder / path) for name, path in chinese.items()}
    for name, (texts, labels, language) in sets.items():
        vectors = Vectorizer(vectorize.VectorizeParams()).vectorize_many(clean_many(texts), [language] * len(texts))
        _say(f"{name}, lexicon", SentimentLearner(SentimentParams()).weights.score_many(vectors), labels)
        _say(name, prequential(vectors, labels), labels)
        _cost(name, texts, labels, language)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("usage: python -m bench.sentiment DATA_DIR: the folder with the public data sets")
    main(Path(sys.argv[1]))
