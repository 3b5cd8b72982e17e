"""Texts made to hurt: for each pattern and each loop that a text passes, what would make it slow, large or fail."""

import sys
import unicodedata
from random import Random

MOST = 60_000
"""Bytes of the longest text: an event may have 64 KiB."""

BOMBS: tuple[tuple[str, str, str], ...] = (
    # Markup that never closes, closes late, or nests.
    ("", "<", ""), ("", "<a ", ""), ("", "<a ", ">"), ("", "<!--", "-->"), ("", "</", ">"), ("", "<<", ">>"),
    ("", "<email>", ""), ("", "<emai", ""), ("", "<email", ">"), ("<", "a", ""), ("<a", " ", ""), ("", "<a>", ""),
    ("", "<p>&lt;", ""), ("", "<a b='>", ""), ("", "<script>", "</script>"),
    ("", "<div>", ""), ("", "<p>a", ""), ("<p>", "<b a='<'>", "<p>a<p>a"), ("<p>", "<b a=1><p>x", ""),
    ("<p ", "a1 ", ">"),
    ("<p>", "<table><tr><td>", ""), ("", "<ul><li>", ""), ("", "<br></p>", ""), ("<br>", '<b "', ""),
    ("<p>", "<!--", ""),
    ("", "<blockquote>a", ""), ("", "<div class=gmail_quote>", "<blockquote>"), ("<style>", "a{b:c} ", "</style>a"),
    ("<!--", "a", "-->b"), ("", "<svg><p>", ""), ("", "<select><option>", ""), ("<p", " ", ""), ("<br>", "<", ""),
    ("", "<template>", ""), ("", "<q1>", "<br>"), ("<p>", "&lt;b&gt;", ""), ("", "<o:p>", ""), ("<p>", "</b>", ""),
    # Lines that nearly are quotes, headings, headers of messages, signatures.
    ("", "\n> a", ""), ("a\n", ">", ""), ("", "On 1.1.2024 a@b wrote\n", ":"), ("", "wrote: ", "\n"),
    ("", "wrote 2024:\n", ""),
    ("", "From: a\n", ""), ("", "From:\n\n\n", ""), ("", "-- \n", "a"), ("", "-----Original ", "\n"),
    ("a\n", "_", "\nb"),
    ("", "Best regards,\n", ""), ("a\nBest regards", " a", ""), ("", "This email\n", ""),
    ("", "Sent from my iPhone\n", ""),
    ("", ":\n", ""), ("", "a\u2028", ""), ("a\n", ": ", "\n"),
    # Entities: without an end, inside one another, of controls, surrogates and numbers beyond Unicode.
    ("", "&", ""), ("", "&amp;", ""), ("&", "amp;", "lt;b&gt;"), ("", "&#", ""), ("", "&#0;", ""), ("", "&#xD800;", ""),
    ("", "&#1114112;", ""), ("", "&#99999999;", ""), ("", "&NotEqualTilde;", ""), ("", "&ThickSpace;", ""),
    ("", "&a", ""), ("&", "a", ""), ("", "&#60;", ""), ("", "&#x202e;", ""), ("", "&lt;b&gt;", ""),
    ("", "&amp;#38;", ""),
    # Nearly an e-mail address.
    ("", "a@", ""), ("", "a@a", ""), ("", "a@a.", ""), ("", "a.", "@"), ("a@", "a.", ""), ("a@", "-", ""),
    ("", "%", "@a.b"), ("", "a+b.c@", ""), ("", "@", ""), ("", "@a ", ""), ("", "a@b.c", ""), ("", "a@b.c ", ""),
    ("", "\u00e9@", ".\u00e9"), ("", "a.@", "b"),
    # Nearly a telephone or card number.
    ("", "1 ", ""), ("", "1-", ""), ("", "12 ", ""), ("", "+", "1"), ("", "(", "1"), ("", "(1", ""), ("", "(1)", ""),
    ("", "1   ", ""), ("", "1    ", ""), ("", "1234567", "x"), ("", "123456 x", ""), ("", "1.2.3.4.5.6", "a"),
    ("", "+1 (", ""), ("", "4111 1111 1111 1112 ", ""), ("", "4111-1111-1111-1111", ""), ("", "411111111111111", ""),
    ("", "123 ", ""), ("", "1-()", ""), ("", "\u0664", ""), ("", "\uff11", ""), ("", "\u00b2", ""), ("", "\u2460", ""),
    ("", "1\u2010", ""), ("", "\U0001d7cf", ""), ("", "0", ""), ("", "1\u2212", ""), ("", "10/10 ", ""),
    ("", "4.5 ", ""),
    ("", "2026-01-05 ", ""), ("", "2026-01-05-", ""), ("", "1.1.2026 12345 ", ""), ("", "1 299 000 kr ", ""),
    ("$", "1 000 ", "kr"),
    # Nearly a bank account, or an address in quotes.
    ("", "DE89", ""), ("", "DE89 ", ""), ("", "DE89370400440532013000 ", ""),
    ("", "DE88 3704 0044 0532 0130 00 ", ""), ("", "AA00A", ""),
    ("", '"', ""), ("", '"a"', "@b.c"), ("", '"a" @', ""), ("", '"a"@b.c ', ""), ("", "a\u3002", "@b"),
    ("", "\u4e2da@", ""),
    # Words without an end, with apostrophes, hashes, addresses, drawn out.
    ("", "a'", ""), ("", "a'a", "'"), ("", "a-a", "-"), ("", "#", ""), ("", "#a", ""), ("", "#a'", ""), ("", "'", ""),
    ("", "a\u2019", ""), ("", "http://", ""), ("http://", "a", ""), ("", "http://a ", ""), ("", "www.", ""),
    ("", "https://www.", ""), ("", "!?", ""), ("", ".", ""), ("", ".. ", ""), ("", "1.,:", ""), ("", "$1", ""),
    ("", "\u20ac", "1"), ("", "a1", ""), ("", "a_", ""), ("", "a", ""), ("", "ab", ""), ("", "ABC", ""),
    ("", "aaab", ""),
    ("", "a ", ""), ("", "so", "o"), ("", "not ", "good"), ("", "not good. ", ""), ("", "very ", ""),
    ("", "VERY GOOD ", ""),
    ("", ":)", ""), ("", ":-", ")"), ("", ";", ""), ("", "_", ""), ("", "\\", ""), ("", '"', ""), ("", "/", ""),
    # Marks, joiners, directions, and characters that grow when they are normalised or made small.
    ("a", "\u0301", ""), ("", "a\u0301", ""), ("", "\u0301\u0323", ""), ("a", "\u0323\u0301", ""),
    ("", "\u1e9b\u0323", ""),
    ("", "\ufdfa", ""), ("", "\ufdfb", ""), ("", "\u3300", ""), ("", "\u33c2", ""), ("", "\ufb03", ""),
    ("", "\u2167", ""),
    ("", "\u1100", ""), ("", "\u1100\u1161\u11a8", ""), ("", "\uac00", ""), ("", "\u0338", ""), ("<", "\u0338", ">"),
    ("<email", "\u0338", ">"), ("", "=\u0338", ""), ("", "\u200d", ""), ("", "\u200b", ""), ("", "\u202e\u202d", ""),
    ("", "\u2066", ""), ("", "\ufeff", ""), ("", "\u00ad", ""), ("", "\ufe00", ""), ("", "\U000e0061", ""),
    ("", "\U0010ffff", ""), ("", "\ufffe", ""), ("", "\x00", ""), ("", "\x1b[31m", ""), ("", "\x7f\x85", ""),
    ("", "\u2028", ""), ("", "\u3000", ""), ("", "\u1680", ""), ("", "\u00a0", ""), ("", " ", ""), ("", "\t\n", ""),
    ("", "\r\n", ""), ("", "\x1c\x1f", ""), ("", "\u0130", ""), ("", "\u00df", ""), ("", "\u017f", ""),
    ("", "\u0149", ""),
    ("", "\u0390", ""), ("", "\u1fb7", ""), ("", "\u0f73", ""), ("", "\uff9e\u0301", ""), ("", "\U0001d15e", ""),
    # Emoji and scripts, each with a path of its own.
    ("", "\u2764\ufe0f", ""), ("", "\U0001f468\u200d", "\U0001f469"), ("", "\U0001f44d\U0001f3fd", ""),
    ("", "\U0001f1e6", ""), ("", "1\ufe0f\u20e3", ""), ("", "\u4e2d", ""), ("", "\u4e0d\u597d", ""),
    ("", "\u5f88\u5dee", ""), ("", "\u975e\u5e38\u4e0d", "\u597d"), ("", "\u4e2da", ""), ("", "\u4e2d ", ""),
    ("", "\u306e", ""), ("", "\ud55c\uad6d", ""), ("", "\u0e44", ""), ("", "\u17d7", ""), ("", "\u1000", ""),
    ("", "\u0627", ""), ("", "\u0434\u0430 ", ""), ("", "\U00020000", ""), ("", "\U0002fa1d", ""),
    ("", "\uff1ca\uff1e", ""), ("", "\uff06amp\uff1b", ""), ("", "\uff20\uff41\uff0e\uff42 ", ""),
    ("", "\U0001d4ea", ""),
)  # fmt: skip
"""Head, what is repeated, tail."""

_ALPHABETS = (
    "abc ",
    "<>&;/!? a",
    "&#x0123456789abcdef;ltgamp",
    "a.@+%-_ ",
    "0123456789 +-().",
    "0123456789",
    ".,!?;:'\u2019#$",
    "\u0300\u0301\u0323\u0338ae",
    "\u200b\u200c\u200d\u202a\u202e\u2066\u2069\ufeff a",
    "\u4e2d\u4e0d\u597d\u5f88\u5dee\u3002\uff01",
    "\u0e01\u1000\u1780\u306e\u30ab\uac00 ",
    "\U0001f600\U0001f44d\U0001f3fd\u200d\ufe0f\u2764",
    "\x00\x01\x1b\x7f\x85\u2028 \t\n",
    "NOTnotveryVERYgoodbad ",
)


def bomb(which: int, size: int) -> str:
    """The bomb of this number, of about `size` bytes in UTF-8.

    >>> bomb(2, 10), len(bomb(0, 4_000))
    ('<a <a <a >', 4000)
    """
    head, unit, tail = BOMBS[which]
    rest = size - len((head + tail).encode())
    return head + unit * max(rest // len(unit.encode()), 1) + tail


def size_of(rng: Random) -> int:
    """Bytes: eight in ten short, one in fifty as long as an event can be."""
    chance = rng.random()
    if chance < 0.8:  # noqa: PLR2004 - eight in ten
        return rng.randrange(1, 300)
    if chance < 0.98:  # noqa: PLR2004 - all but one in fifty
        return rng.randrange(300, 6_000)
    return rng.randrange(6_000, MOST)


def any_text(rng: Random, size: int) -> str:
    """Some hostile text of at most `size` bytes and a little."""
    chance = rng.random()
    if chance < 0.55:  # noqa: PLR2004 - about half are one bomb
        return bomb(rng.randrange(len(BOMBS)), size)
    if chance < 0.75:  # noqa: PLR2004 - a fifth are several behind each other
        return "".join(bomb(rng.randrange(len(BOMBS)), max(size // 4, 1)) for _ in range(4))
    if chance < 0.9:  # noqa: PLR2004 - some are of few characters, in any order
        return "".join(rng.choices(rng.choice(_ALPHABETS), k=max(size // 3, 1)))
    return "".join(map(chr, (_code(rng) for _ in range(max(size // 4, 1)))))


def _code(rng: Random) -> int:
    """Any character that UTF-8 has."""
    while True:
        # Most assigned characters lie low.
        code = rng.randrange(sys.maxunicode + 1 if rng.random() < 0.3 else 0x3100)  # noqa: PLR2004 - a third lies anywhere
        if unicodedata.category(chr(code)) != "Cs":
            return code
