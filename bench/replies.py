"""What is left of a reply, and at what cost: ``python -m bench.replies [DATA_DIR]``.

The shapes of ``tests/fixtures/replies.yaml`` are read by csq and, where it is installed, by mail-parser-reply with all
languages that it has; markup is taken out before. `missed` are shapes of which something foreign is left or something
said is lost, `harmed` are messages without any such part that come out changed. Then hostile texts of 10,000
characters, and the cost for messages of several lines. With the folder of the public data sets also the mails in
Chatwoot's payloads, beside what Chatwoot itself leaves of them (but for the closing, which it keeps).
"""

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import yaml

from operators.domain.text.clean import RAW_LIMIT
from operators.domain.text.markup import is_markup, lines
from operators.domain.text.replies import said

SHAPES = Path(__file__).parents[1] / "tests" / "fixtures" / "replies.yaml"
ROUNDS = 20
UNITS = ("\n", "On 1.1.2024 a@b wrote\n", "From: a\n", "wrote: ", ": ", "> a\n", "Disclaimer: mail a\n", "On \n")
LONGEST = 20.0
"""Seconds after which no further hostile text is tried."""

Reader = Callable[[str], str]


def _parser() -> Reader:
    module: Any = importlib.import_module("mailparser_reply")
    languages = list(importlib.import_module("mailparser_reply.constants").MAIL_LANGUAGES)
    parser = module.EmailReplyParser(languages=languages)

    def read(text: str) -> str:
        replies = parser.read(text).replies
        return replies[0].body if replies else ""

    return read


def readers() -> dict[str, Reader]:
    """Name to what leaves the reply."""
    found: dict[str, Reader] = {"csq": said}
    if importlib.util.find_spec("mailparser_reply"):
        found["mail-parser-reply"] = _parser()
    return found


def real(folder: Path) -> list[tuple[str, str]]:
    """Mails of a helpdesk's payloads, in HTML and in text, and what the helpdesk leaves of them."""
    path = folder / "helpdesk_payloads/chatwoot/api_messages_email.json"
    mails = [message.get("content_attributes", {}).get("email", {}) for message in json.loads(path.read_text("utf-8"))]
    parts = [mail.get(kind) or {} for mail in mails for kind in ("html_content", "text_content")]
    return [(part["full"], part["quoted"]) for part in parts if part.get("full") and part.get("quoted")]


def _words(text: str) -> list[str]:
    return said(re.sub(r"\[[^\]]*\]", "", text)).split()  # it notes where an image was


def main(folder: Path | None) -> None:
    """Print the figures."""
    shapes = yaml.safe_load(SHAPES.read_text(encoding="utf-8"))
    texts = [lines(shape["text"]) if is_markup(shape["text"]) else shape["text"] for shape in shapes]
    for name, read in readers().items():
        wrong: dict[bool, list[str]] = {True: [], False: []}
        for shape, text in zip(shapes, texts, strict=True):
            expected = (shape["said"] or text).replace("，", ",").split()  # noqa: RUF001 - cleaning makes the other of one
            if [word for word in read(text).replace("，", ",").split() if word.strip("_-")] != [  # noqa: RUF001 - as above
                word for word in expected if word.strip("_-")
            ]:
                wrong[shape["said"] is None].append(shape["client"])
        began = process_time()
        for _ in range(ROUNDS):
            for text in texts:
                read(text)
        cost = (process_time() - began) / ROUNDS / len(texts) * 1e6
        print(
            f"{name}: {len(shapes)} shapes, missed {len(wrong[False])}, harmed {len(wrong[True])}, {cost:.0f} us each"
        )
        print(f"  missed: {'; '.join(wrong[False])}\n  harmed: {'; '.join(wrong[True])}")
        spent = 0.0
        for unit in UNITS:
            began = process_time()
            read((unit * RAW_LIMIT)[:RAW_LIMIT])
            seconds = process_time() - began
            print(f"  {unit!r} repeated: {seconds * 1000:.1f} ms")
            spent += seconds
            if spent > LONGEST:
                break
    if folder is not None:
        mails = real(folder)
        right = sum(_words(lines(full) if is_markup(full) else full) == _words(left) for full, left in mails)
        print(f"mails of a helpdesk: {right} of {len(mails)} as it leaves them")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
