"""Texts of the stream: real tweets from the public data sets, else those of the simulator."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from operators.simulator import Simulator
from operators.simulator.params import SimulatorParams

TWEETS = "airline_tweets/airline_tweets.csv"
SUPPORT = "twitter_support/twcs_subset.csv"
LISTENED = 20_000
"""Events of the simulator that are listened to."""


class Texts(NamedTuple):
    """Texts and their origin."""

    customers: list[tuple[str, str]]
    """Text and its label: negative, neutral or positive."""
    agents: list[str]
    source: str


def texts_of(folder: Path | None) -> Texts:
    """Real tweets from the folder with the public data sets, else the simulator's phrases.

    Raises:
        FileNotFoundError: the folder lacks a file.
    """
    if folder is None:
        return _simulated()
    customers = [(row["text"], row["airline_sentiment"]) for row in _rows(folder / TWEETS)]
    agents = [row["text"] for row in _rows(folder / SUPPORT) if row["inbound"] == "False"]
    return Texts(customers, agents, "real tweets")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _simulated() -> Texts:
    """Texts of customers and agents of the simulated shop, with their labels."""
    said: dict[str, str] = {}
    labels: dict[str, str] = {}
    agents: list[str] = []
    for delivery in Simulator(SimulatorParams(broken_share=0.0), keep_books=False).take(LISTENED):
        event = msgspec.json.decode(delivery.raw)
        data = event["data"]
        if event["type"] == "csq.message.created" and data["author"]["role"] == "customer":
            said[data["message_id"]] = data["text"]
        elif event["type"] == "csq.message.created" and data["author"]["role"] == "agent":
            agents.append(data["text"])
        elif event["type"] == "csq.label.sentiment":
            labels[data["message_id"]] = data["label"]
    customers = [(text, labels.get(name, "neutral")) for name, text in said.items()]
    return Texts(customers, agents, "the simulator's phrases")
