"""How often short messages are taken for the right language: ``python -m bench.languages DATA_DIR``.

English: short tweets to airlines and turns of customers of other shops, all real (names and codes stand among the
turns alone). Other languages: the messages of ``tests/fixtures/languages.yaml``, which are written by hand. The rule
without an identifier is judged beside csq, and other identifiers where they are installed: each says whether a text is
English. Times are CPU times per text, each text once.
"""

import csv
import gzip
import importlib.util
import random
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import yaml

from operators.domain.text import language
from operators.domain.text.clean import clean_many
from operators.domain.text.vectorize import VectorizeParams, Vectorizer

MESSAGES = Path(__file__).parents[1] / "tests" / "fixtures" / "languages.yaml"
MANY = 3_000
SHORT = 50
"""Characters of a short tweet."""
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")

Judge = Callable[[list[str]], list[bool]]
"""Texts -> whether each is English."""


def english(folder: Path) -> dict[str, list[str]]:
    """Real English texts by origin, in a fixed order of chance."""
    rng = random.Random(1)  # noqa: S311 - an order, not a secret
    with (folder / "airline_tweets/airline_tweets.csv").open(encoding="utf-8-sig", newline="") as file:
        tweets = [row["text"] for row in csv.DictReader(file)]
    turns: dict[str, None] = {}
    for path in sorted((folder / "multidogo_customer_turns").glob("*_dev.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as rows:
            turns |= dict.fromkeys(row["utterance"] for row in csv.DictReader(rows, delimiter="\t"))
    sets = {"short tweets": [text for text in tweets if len(text) <= SHORT], "tweets": tweets, "turns": list(turns)}
    for texts in sets.values():
        rng.shuffle(texts)
    return {name: texts[:MANY] for name, texts in sets.items()}


def _csq(texts: list[str]) -> list[bool]:
    vectorizer = Vectorizer(VectorizeParams())
    return [name == "en" for name in vectorizer.vectorize_many(texts, [None] * len(texts)).languages]


def _small_words(texts: list[str]) -> list[bool]:
    return [sum(language.foreign(word.lower()) for word in _WORD.findall(text)) <= 0 for text in texts]


def _identifier(texts: list[str]) -> list[bool]:
    return [language.leaning(text) <= 0 for text in texts]


def _others() -> dict[str, Judge]:
    found: dict[str, Judge] = {}
    if importlib.util.find_spec("py3langid"):
        module: Any = importlib.import_module("py3langid")
        found["py3langid"] = lambda texts: [module.classify(text)[0] == "en" for text in texts]
    if importlib.util.find_spec("pycld2"):
        cld2: Any = importlib.import_module("pycld2")
        found["pycld2"] = lambda texts: [cld2.detect(text, bestEffort=True)[2][0][1] in {"en", "un"} for text in texts]
    if importlib.util.find_spec("gcld3"):
        cld3 = importlib.import_module("gcld3").NNetLanguageIdentifier(0, 1_000)
        found["cld3-py"] = lambda texts: [cld3.FindLanguage(text).language == "en" for text in texts]
    return found


def main(folder: Path) -> None:
    """Print the share of texts that are judged right, by set."""
    sets = english(folder)
    ours: dict[str, list[str]] = yaml.safe_load(MESSAGES.read_text(encoding="utf-8"))
    sets["en by hand"] = ours.pop("en")
    sets = {name: clean_many(texts) for name, texts in (sets | ours).items()}
    small = {"small words alone": _small_words, "fastText alone": _identifier, "csq": _csq}
    for name, judge in (small | _others()).items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        judge(["a text to begin with"])
        began, right = process_time(), {}
        for what, texts in sets.items():
            right[what] = float(np.mean([found == (what not in ours) for found in judge(texts)]))
        cost = (process_time() - began) / sum(map(len, sets.values())) * 1e6
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"{name:18} {cost:5.1f} us  {grown:4.0f} MiB  other languages {np.mean([right[what] for what in ours]):.3f}"
        )
        print("  " + "  ".join(f"{what} {share:.3f}" for what, share in right.items()))
    print({what: len(texts) for what, texts in sets.items()})


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("usage: python -m bench.languages DATA_DIR: the folder with the public data sets")
    main(Path(sys.argv[1]))
