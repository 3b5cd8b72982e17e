"""Markup: what a reader sees of an HTML text, as lines.

The parser is Lexbor, which follows the HTML standard. Its tree grows with the square of the formatting elements that a
hostile text leaves open, and some of its steps with the square of the depth and of the attributes. So formatting tags
are taken out before it runs (they separate no words), long tags lose their attributes, and of a text with many tags
the beginning is read.
"""

import re
from itertools import islice

from selectolax.lexbor import LexborHTMLParser, LexborNode

TAGS = 2_000
"""Tags that are read. An event of 64 KiB with more of them has hardly any text."""
SEEN = 12_000
"""Characters of text after which reading stops: more than are kept."""
BEGIN = 10_000
"""Characters in which a text that is HTML has its first tag."""
QUOTED = 1_000
"""Characters that are kept of each quoted part: they only matter where nothing else is left."""

_FORMATTING = "a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u"
_LINED = """address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption
    figure footer form frame frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li link main menu meta nav ol
    optgroup option p pre search section summary table tbody tfoot thead tr ul"""
_SPACED = "td th button input label img object select textarea video"
_HIDDEN = """head style script template noscript title iframe object svg math canvas audio video noembed noframes
    datalist textarea select -comment -doctype"""
_HOLDING = "div span p table section hr"
_BLOCKS, _CELLS, _UNSEEN, _HOLDS = (frozenset(names.split()) for names in (_LINED, _SPACED, _HIDDEN, _HOLDING))
_OTHERS = """abbr acronym base bdi bdo cite col colgroup data del dfn img input ins kbd label map mark q samp span sub
    sup td th time var wbr style script head template noscript"""
_NAMES = "|".join(sorted({*_FORMATTING.split("|"), *_BLOCKS, *_OTHERS.split()}))
_CLOSED = "title|textarea|iframe|object|svg|math|canvas|audio|video|button|select|datalist|noembed|noframes"
"""Names that count where they are closed: "<title>" in the text of a customer must not hide what follows."""
TAG = re.compile(
    rf"<(?=/?[a-z!?])(?:(?:{_NAMES}|[ovwx]:[a-z]+)(?:\s*/?>|\s+[a-z_:@][\w:.-]*+\s*=|\s(?:async|defer|hidden|nowrap|noshade)[\s>])"
    rf"|/(?:{_NAMES}|{_CLOSED}|[ovwx]:[a-z]+)\s*>|!doctype\s|\?xml\s)",
    re.IGNORECASE | re.ASCII,
)
"""What makes a text HTML: a tag as the standard has it. "a < b", "<3", "<order 123>", "<ann@example.com>" do not."""
_FORMATTING_TAG = re.compile(
    rf"""</?(?:{_FORMATTING})(?:[\s/](?:[^<>"']|"[^"<]*+"|'[^'<]*+'|["'])*+)?>""", re.IGNORECASE | re.ASCII
)
_FORMATTING_LEFT = re.compile(rf"</?(?:{_FORMATTING})(?=[\s/>])", re.IGNORECASE | re.ASCII)
_FEW = 64  # formatting tags that may be left: with a < in an attribute
_WHOLE_TAG = re.compile(r"<[^>]*+")
_TAG_NAME = re.compile(r"<[A-Za-z][A-Za-z0-9:]{0,31}")
_LONG = 1_024  # characters of a tag whose attributes are looked at: more hold data, and hide nothing that is asked for
_LINES = re.compile(rf"</?(?:{'|'.join(sorted(_BLOCKS))})[\s/>]", re.IGNORECASE | re.ASCII)
_QUOTE = re.compile(r"quote|signature|originalcontents|disclaimer", re.IGNORECASE)
_HEADING = re.compile(r"gmail_attr|quote.?header", re.IGNORECASE)
_ASKED = 16  # elements of quotes that are searched for answers
_REST = re.compile(r"divrplyfwdmsg|appendonsend|reference-message|olk_src_body|replysplit", re.IGNORECASE)
_REPEATED = "\n-----Original Message-----\n"


def is_markup(text: str) -> bool:
    """Whether there is a tag in a text.

    >>> [is_markup(text) for text in ("a<br>b", "<p class=x>", "a < b", "I <3 it", "<order 123>", "<ann@example.com>")]
    [True, True, False, False, False, False]
    """
    return "<" in text and (TAG.search(text, 0, BEGIN) is not None or ("<!--" in text and "-->" in text))


def lines(html: str) -> str:
    r"""The text of HTML: a line for each block and behind each `<br>`, with `> ` before what is quoted.

    Styles, scripts, comments, the head and attributes are no text. What a mail program marks as a signature counts as
    quoted. The message that a reply or a forward repeats begins with a line of its own.

    >>> lines("<style>p {}</style><p>My <b>or</b>der<p>Thanks<blockquote>Dear<br>Ann</blockquote>")
    'My order\nThanks\n> Dear Ann'
    """
    parts: list[str] = []
    size, asked, keep = 0, 0, _LINES.search(html) is None
    # In the body from the start: before it, the standard takes text out of <noscript>.
    node: LexborNode | None = LexborHTMLParser(b"<body>" + _bounded(html).encode("utf-8", "replace")).root
    while node is not None and size < SEEN:
        name, inside = node.tag, None
        if name == "-text":
            text = node.text_content or ""
            parts.append(text if keep else text.replace("\n", " "))
            size += len(text)
        elif name in _CELLS:
            parts.append(" ")
        if name not in _UNSEEN:
            kind = "quote" if name == "blockquote" else _kind(node) if name in _HOLDS else ""
            if kind == "answers":  # what stands between the quotes in it is an answer
                asked += 1
                kind = "" if asked > _ASKED or node.css_first("blockquote") else "quote"
            if kind == "quote":
                parts.append(f"\n> {' '.join(node.text(separator=' ').split())[:QUOTED]}\n")
            else:
                parts.append(_REPEATED if kind == "rest" else "\n" if name in _BLOCKS else "")
                inside = node.first_child
        node = inside or _behind(node, parts)
    found = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(filter(None, found))


def _behind(node: LexborNode, parts: list[str]) -> LexborNode | None:
    """The node behind this one and all in it; the ends of blocks on the way are line breaks."""
    while node.next is None:
        above = node.parent
        if above is None or above.tag == "-document":
            return None
        if above.tag in _BLOCKS:
            parts.append("\n")
        node = above
    return node.next


def _kind(node: LexborNode) -> str:
    """`answers` for an element of quotes or a signature, `rest` where all from here on is quoted, `` for any other."""
    attributes = node.attributes
    named = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    if len(named) == 1:
        return ""
    if _REST.search(named):
        return "rest"
    return "answers" if _QUOTE.search(named) and not _HEADING.search(named) else ""


def _bounded(html: str) -> str:
    """The same text in a form that the parser reads in time."""
    if html.count("<") > TAGS:
        html = _FORMATTING_TAG.sub("", html)
        if html.count("<") > TAGS:
            html = html[: next(islice(re.finditer("<", html), TAGS, None)).start()]
    else:
        html = _FORMATTING_TAG.sub("", html)
    if len(_FORMATTING_LEFT.findall(html)) > _FEW:
        html = _FORMATTING_LEFT.sub(" ", html)
    if len(html) > _LONG and max(map(len, html.split(">"))) > _LONG:
        html = _WHOLE_TAG.sub(_short, html)
    return html


def _short(match: re.Match[str]) -> str:
    tag = match[0]
    name = _TAG_NAME.match(tag) if len(tag) > _LONG else None
    return name[0] if name else tag
