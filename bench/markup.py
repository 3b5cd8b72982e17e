"""Parsers of HTML compared: ``python -m bench.markup`` (lxml beside selectolax where it is installed).

First the time per message and whether a hidden word is left. Then hostile texts of 64 KiB: time and memory of the bare
parser, and of `operators.domain.text.markup`, which bounds what the parser reads. At the end the memory that a parser
keeps for names of tags and attributes that each occur once.
"""

import importlib.util
import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from time import process_time
from typing import Any

import yaml
from selectolax.lexbor import LexborHTMLParser

from operators.domain.text.markup import is_markup, lines

SHAPES = Path(__file__).parents[1] / "tests" / "fixtures" / "replies.yaml"
"""Mails as mail programs send them."""
SIZE = 65_536
ROUNDS = 200
NAMES = 400_000
"""Names that occur once."""
HIDDEN = (
    "<style>p.great{}</style>late",
    "<script>if (1 < 2) great()</script>late",
    "<!-- great > great -->late",
    "<noscript>great</noscript>late",
    "<template>great</template>late",
    "<title>great</title>late",
    "<p title='great > great'>late",
    "<textarea><p>great</textarea>late",
)
BOMBS = {
    "<div> nested": "<div>" * 13_000,
    "attributes": "<p " + "".join(f"a{number} " for number in range(9_000)) + ">",
    "formatting, left open": "<p>" + "".join(f"<b id={number}>" for number in range(1_000)) + "<p>x" * 1_000,
    "< only": "<br>" + "<" * SIZE,
    "<li> flat": "<li>a" * 13_000,
    "</p> only": "</p>" * 16_000,
}

Parser = Callable[[str], str]
Found = tuple[float, float]
"""CPU seconds, MiB."""


def _lexbor(html: str) -> str:
    tree = LexborHTMLParser(html)
    tree.strip_tags(["style", "script", "head", "template", "noscript", "title", "textarea"])
    root = tree.root
    return root.text(separator=" ") if root else ""


def _lxml() -> Parser:
    etree: Any = importlib.import_module("lxml.etree")
    parser = etree.HTMLParser(remove_comments=True, remove_pis=True, collect_ids=False, encoding="utf-8")

    def read(html: str) -> str:
        root = etree.fromstring(html.encode(), parser)
        if root is None:
            return ""
        hidden = ("style", "script", "head", "template", "noscript", "title", "textarea")
        etree.strip_elements(root, *hidden, with_tail=False)
        return " ".join(root.itertext())

    return read


def parsers() -> dict[str, Parser]:
    """Name to what makes text of HTML."""
    found: dict[str, Parser] = {"csq (lexbor, bounded)": lines, "selectolax (lexbor)": _lexbor}
    if importlib.util.find_spec("lxml"):
        found["lxml (libxml2)"] = _lxml()
    return found


def _microseconds(parser: Parser, html: str) -> float:
    best = float("inf")
    for _ in range(5):
        began = process_time()
        for _ in range(ROUNDS):
            parser(html)
        best = min(best, process_time() - began)
    return best / ROUNDS * 1e6


def _peak(name: str, html: str, answer: "Queue[Found]") -> None:
    """In a process of its own: seconds, and MiB that it took more."""
    parser = parsers()[name]
    parser("<p>a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = process_time()
    parser(html)
    seconds = process_time() - began
    answer.put((seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def _names(name: str, _: str, answer: "Queue[Found]") -> None:
    parser = parsers()[name]
    parser("<p>a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = process_time()
    for first in range(0, NAMES, 100):
        parser("<br>" + "".join(f"<b a{number}=1>" for number in range(first, first + 100)))
    seconds = process_time() - began
    answer.put((seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def _apart(work: "Callable[[str, str, Queue[Found]], None]", name: str, html: str) -> Found:
    context = multiprocessing.get_context("spawn")
    answer: Queue[Found] = context.Queue()
    process = context.Process(target=work, args=(name, html, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def main() -> None:
    """Print the figures."""
    shapes = yaml.safe_load(SHAPES.read_text(encoding="utf-8"))
    mails = [shape["text"] for shape in shapes if is_markup(shape["text"])]
    for name, parser in parsers().items():
        chat = _microseconds(parser, "<p>Hello, where is my order?</p>")
        mail = sum(_microseconds(parser, each) for each in mails) / len(mails)
        leaks = [html for html in HIDDEN if "great" in parser(html) or "late" not in parser(html)]
        print(f"{name:24} one paragraph {chat:5.1f} us  mail {mail:5.1f} us ({len(mails)})  wrong {leaks}")
    for what, html in BOMBS.items():
        for name in parsers():
            seconds, grown = _apart(_peak, name, html)
            print(f"{what:24} {name:24} {seconds * 1000:7.1f} ms  {grown:6.0f} MiB")
    for name in parsers():
        seconds, grown = _apart(_names, name, "")
        print(f"{NAMES:,} names once     {name:24} {seconds * 1000:7.0f} ms  {grown:6.0f} MiB")


if __name__ == "__main__":
    main()
