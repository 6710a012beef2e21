"""HTML to text that a person can read, for mails that have no other.

Read tag by tag and never built into a tree: trees of hostile HTML, as the standard wants them, have millions
of nodes for 10 KB, and libraries that build them ran out of memory or of stack.
"""

import html
import re
from collections.abc import Iterator

# Behind it a mail is a web page.
HTML_CHARS_MAX = 512 * 1024

# Comments, tags, and what browsers take for comments; what does not end goes to the end (HTML, 13.2.5). In a
# tag, quotes mean something only behind "=".
_MARKUP = re.compile(
    r"""<!--(?:-?>|.*?(?:--!?>|\Z))
      | <(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)
        (?P<attributes>(?:[^>=]++|=\s*+(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*+)?)*+)(?:>|\Z)
      | <[!?/][^>]*(?:>|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_ALT = re.compile(r"""(?i)\salt\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
# Elements whose content is no text of the page, up to their end tag.
_UNSEEN = frozenset({"script", "style", "title", "template", "noembed", "noframes", "iframe", "xmp"})
_PARAGRAPHS = frozenset(
    ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "dl", "pre", "table")
)  # fmt: skip
_LINES = frozenset(
    ("div", "tr", "dt", "dd", "hr", "section", "article", "header", "footer", "center", "form", "fieldset",
     "address", "main", "nav", "aside", "figure", "figcaption", "caption", "option", "legend", "details",
     "summary", "body", "html", "head")
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_SPACES = re.compile(r"[ \t\r\n\f]+")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_CELL_ENDS = re.compile(r" *\t *")
# Between blocks there is one line end, however many of them begin and end there; a <br> is one of its own.
_BLOCK, _PARAGRAPH = "\x1e", "\x1d"
_LINE_ENDS = re.compile(r"[ \t]*[\n\x1d\x1e][ \t\n\x1d\x1e]*")
# What invisible text and senders' counters put between the words.
_INVISIBLE = str.maketrans(
    dict.fromkeys("\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u2060\u2800\ufeff\0", "") | {_NO_BREAK: " "}
)


def text_of_html(source: str) -> str:
    """Blocks and rows are lines, list items have a bullet, pictures their `alt`, links only their text."""
    text = _CELL_ENDS.sub("\t", "".join(_pieces(source[:HTML_CHARS_MAX])))
    return _LINE_ENDS.sub(_at_most_one_blank, text).translate(_INVISIBLE).strip()


def _at_most_one_blank(line_ends: re.Match[str]) -> str:
    return "\n\n" if _PARAGRAPH in line_ends[0] or line_ends[0].count("\n") > 1 else "\n"


def _pieces(source: str) -> Iterator[str]:
    at, preformatted = 0, 0
    while (markup := _MARKUP.search(source, at)) is not None:
        yield from _text(source[at : markup.start()], bool(preformatted))
        at, name = markup.end(), (markup["name"] or "").lower()
        if name in _UNSEEN and not markup["end"]:
            at = _end_of(name, source, at)
        elif name == "pre":
            preformatted = max(0, preformatted + (-1 if markup["end"] else 1))
            yield _PARAGRAPH
        elif name == "li":
            yield _BLOCK if markup["end"] else f"{_BLOCK}\N{BULLET} "
        elif name in _PARAGRAPHS:
            yield _PARAGRAPH
        elif name in _LINES:
            yield _BLOCK
        elif name == "br":
            yield "\n"
        elif name in _CELLS and markup["end"]:
            yield "\t"
        elif name == "img" and (alt := _ALT.search(markup["attributes"])):
            yield html.unescape(next(filter(None, alt.groups()), ""))
    yield from _text(source[at:], bool(preformatted))


def _text(source: str, preformatted: bool) -> Iterator[str]:
    if source:
        if preformatted:  # no-break spaces, so that they are left alone until the end
            yield html.unescape(source).replace("\r", "").replace("\t", 4 * _NO_BREAK).replace(" ", _NO_BREAK)
        else:
            yield html.unescape(_SPACES.sub(" ", source))


def _end_of(name: str, source: str, begin: int) -> int:
    """Behind the end tag; of an element that does not end, the end of all."""
    end = re.compile(rf"(?i)</{name}[\s/>]").search(source, begin)
    return source.find(">", end.start()) + 1 or len(source) if end else len(source)
