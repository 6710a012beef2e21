"""What strangers wrote is harmless in every answer."""

import json

import msgspec
import pytest

from fastmail_ingest.admin.answers import Refused, encode

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\x1b]0;title\x07\x1b[31m",
    "\u202egnp.exe",
    "a\x00b\x7fc\x85d\u2028e",
    "\udcff\ud800",
    "../../etc/passwd",
    "&lt;b&gt;",
]


class Row(msgspec.Struct):
    subject: str
    rows: list[str]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_stranger_is_markup_or_moves_a_terminal(text: str) -> None:
    body = encode({"one": Row(text, [text]), text: (text, None, 1.5, True)})
    assert not {b"<", b">", b"&", b"\x1b", b"\x00", b"\x7f"} & {bytes([byte]) for byte in body}
    assert "\u202e" not in body.decode()
    told = json.loads(body)
    # What is printable comes through unharmed.
    if text.isprintable():
        assert told["one"] == {"subject": text, "rows": [text]}
    assert told["one"]["subject"].isprintable()


def test_lines_stay_lines() -> None:
    assert json.loads(encode("a\r\nb\tc\n")) == "a\nb\tc\n"


def test_a_refusal_says_what_to_do_and_asks_for_the_token() -> None:
    answer = Refused(401, "token_needed", "this needs <the> token", "send it").answer()
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert json.loads(answer.body)["error"] == {
        "name": "token_needed",
        "message": "this needs <the> token",
        "remedy": "send it",
    }
