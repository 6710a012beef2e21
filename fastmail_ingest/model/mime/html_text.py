"""HTML to text that a person can read, for mails that have no other."""

import re
from typing import Any

# Behind it a mail is a web page. 1 MB of the worst HTML takes 250 ms.
HTML_CHARS_MAX = 512 * 1024
_TAG_CHARS_MAX = 4096
# A tag up to its end, quoted values with what is in them (HTML, 13.2.5.32 and the following states).
_TAG = re.compile(r"""<(/?[a-zA-Z][^\s<>/]{0,40})(?:[^"'>]|"[^"]*"|'[^']*'|["'])*+>?""")
_BLANK_LINES = re.compile(r"\n[ \t\xa0]*(?:\n[ \t\xa0]*)+\n")
# What invisible text and senders' counters put between the words.
_INVISIBLE = str.maketrans(
    dict.fromkeys("\u00ad\u034f\u200b\u200c\u200d\u200e\u200f\u2060\u2800\ufeff", "") | {"\u00a0": " "}
)


def text_of_html(html: str) -> str:
    """The visible text: blocks and rows are lines, list items have a bullet, links only their text."""
    # 4 MB in memory that few handlers need.
    from resiliparse.extract.html2text import extract_plain_text  # noqa: PLC0415

    extracted: Any = extract_plain_text(
        _TAG.sub(_short, html[:HTML_CHARS_MAX]), main_content=False, alt_texts=True, links=False
    )
    text = str(extracted).translate(_INVISIBLE)
    return _BLANK_LINES.sub("\n\n", text).strip()


def _short(tag: re.Match[str]) -> str:
    """The parser compares each attribute with all others of its tag: 50,000 took 9 s."""
    return tag[0] if len(tag[0]) <= _TAG_CHARS_MAX else f"<{tag[1]}>"
