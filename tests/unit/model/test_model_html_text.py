"""HTML as a person reads it, whoever wrote it."""

import pytest
from support.watched import watched

from fastmail_ingest.model.mime.html_text import HTML_CHARS_MAX, text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hel<b>lo</b> &amp; w&ouml;rld<br>next   line</p>", "Hello & wörld\nnext line"),
        ("<title>t</title><style>p{}</style><script>evil()</script><p>seen</p><!-- unseen -->", "seen"),
        ("<ul><li>one</li><li>two<ul><li>inner</ul></ul>", "• one\n• two\n\n• inner"),
        ("<table> <tr><td>a</td> <td>b</td></tr> <tr><td>c</td><td>d</td></tr> </table>", "a\tb\nc\td"),
        ("<p title=it's>seen it's</p><!-- <a don't -->", "seen it's"),
        ("<label>l</label> <button>b</button><pre>  x\n   y</pre>", "l b\n\n  x\n   y"),
        ("a < b &amp;&lt;i&gt; <!-- c -->d<?e?></>f", "a < b &<i> df"),
        ("<a href='x>y' title = \"a > b\">link</a>", "link"),
        ("<div>a</div><div></div><div></div><div>b</div>", "a\nb"),
        ("a<br>b<br><br>c<div><br></div>d", "a\nb\n\nc\nd"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ('see <a href="https://x.y/z">this</a>', "see this"),
        ('<img alt="a cat">', "a cat"),
        ("pre\u200bheader\u00ad\u034f\u00a0x", "preheader x"),
        ("no html at all", "no html at all"),
        ("<p>not closed", "not closed"),
        ("", ""),
    ],
)
def test_what_is_seen(html: str, text: str) -> None:
    assert text_of_html(html) == text


def test_a_tag_as_long_as_a_page_is_only_a_tag() -> None:
    attributes = " ".join(f'a{number}="<>"' for number in range(1000))
    assert text_of_html(f"<p {attributes}>seen</p {attributes}>") == "seen"


@pytest.mark.parametrize(
    "html",
    ["<div>" * 100_000, "<b>" * 100_000, "<table><tr><td>" * 20_000, "<ul><li>" * 30_000, "<a " + "a=1 " * 100_000,
     "<a '" + " ".join(f"a{n}" for n in range(50_000)), "<!--" * 100_000, "&" * 400_000, "<svg><g>" * 50_000, "\0" * 9000,
     "<b><i><u><font>" * 5000 + "<p>" * 5000, "<ul><li>x" * 57_000,
     "<div>" + "".join(f"<b a={n}>" for n in range(5000)) + "</div>" + "<p>x" * 20_000,
     "<a b'=\"'> \" " + " ".join(f"x{n}" for n in range(50_000)) + " >", "".join(f"<font size={n}>" for n in range(31_000)),
     "<a" * 250_000, '="' * 250_000, "<img alt" + " alt" * 100_000, "<script>" * 60_000, "&#" * 250_000],
    ids=range(20),
)  # fmt: skip
def test_hostile_html_is_read_to_its_end(html: str) -> None:
    assert watched([html + "end"], text_of_html).done == 1


def test_the_end_of_a_book_is_not_read() -> None:
    assert len(text_of_html("<p>word</p>" * HTML_CHARS_MAX)) < HTML_CHARS_MAX
