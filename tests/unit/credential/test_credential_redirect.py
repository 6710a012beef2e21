"""What comes back from the browser: the answer to our request, or none."""

import socket
import urllib.error
import urllib.request
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.credential.redirect import Listener, NotTheAnswer, code_in
from fastmail_ingest.errors import LoginRefused

CODES = st.text(alphabet="abcdefgXYZ0123456789/_-", min_size=4, max_size=200).map("4/".__add__)


@given(CODES, st.text(alphabet="abcdefXYZ0123456789", min_size=10))
def test_a_code_is_found_however_it_is_pasted(code: str, state: str) -> None:
    query = urlencode({"state": state, "code": code, "scope": "https://mail.google.com/"})
    for text in (
        f"http://127.0.0.1:5000/?{query}",
        f"  {query}\n",
        f"127.0.0.1:5000/?{query}",
        quote(code),
        code,
    ):
        assert code_in(text, state) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://127.0.0.1:5000/",
        "https://accounts.google.com/o?x=1",
        "no code here",
        "a=b",
        "4/ä",
        "password",
        "fastmail",
        "4/",
        "4711",
    ],
)
def test_what_holds_no_code_is_said_to_hold_none(text) -> None:
    with pytest.raises(NotTheAnswer, match="there is no code in it"):
        code_in(text, "state")


@pytest.mark.parametrize("state", ["", "state=other&", "state=&"])
def test_the_answer_to_another_request_does_not_count(state) -> None:
    for rest in ("code=4/abcdef", "error=access_denied"):
        with pytest.raises(NotTheAnswer, match="answer to another request"):
            code_in(f"http://127.0.0.1:5000/?{state}{rest}", "state")


def test_a_no_is_an_error_with_a_remedy() -> None:
    with pytest.raises(LoginRefused, match=r"not given \(access_denied\). remedy"):
        code_in("http://127.0.0.1:5000/?error=access_denied&state=s", "s")


def get(address: str) -> int:
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_the_answer_ends_the_waiting() -> None:
    listener = Listener()
    with listener.listening("right"):
        base = listener.redirect_uri
        # A browser opens connections in advance, asks for an icon, and any page may send it here.
        idle = socket.create_connection(("127.0.0.1", int(base.rstrip("/").rpartition(":")[2])))
        assert get(f"{base}favicon.ico") == 404
        assert get(base) == 404
        assert get(f"{base}?code=4/forged&state=wrong") == 400
        assert get(f"{base}?code=4/forged") == 400
        assert get(f"{base}?code=4/right&state=right") == 200
        assert listener.code(30.0) == "4/right"
        idle.close()
    listener.close()


def test_no_answer_ends_the_waiting_with_a_remedy() -> None:
    listener = Listener()
    with listener.listening("s"), pytest.raises(LoginRefused, match="remedy: start again"):
        listener.code(0.01)
    listener.close()
