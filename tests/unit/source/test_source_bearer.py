"""The SASL exchanges that carry an access token."""

import base64
import json

import pytest

from fastmail_ingest.source.bearer import OAUTHBEARER, XOAUTH2, Bearer


def test_the_messages_are_those_of_the_specifications() -> None:
    # Google, "The SASL XOAUTH2 mechanism", its example.
    message = Bearer(XOAUTH2, "someuser@example.com", "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==")(b"")
    expected = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ=="
    assert base64.b64encode(message).decode() == expected
    # RFC 7628 4.1, without the host and port that are optional.
    message = Bearer(OAUTHBEARER, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")(b"")
    assert (
        message == b"n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )


def test_a_name_cannot_break_out_of_its_place() -> None:
    assert Bearer(OAUTHBEARER, "a,b=c", "t")(b"").startswith(b"n,a=a=2Cb=3Dc,\x01")


@pytest.mark.parametrize(("mechanism", "dismissal"), [(XOAUTH2, b""), (OAUTHBEARER, b"\x01")])
def test_a_refusal_is_dismissed_without_the_token_and_an_endless_one_cancelled(mechanism, dismissal) -> None:
    exchange = Bearer(mechanism, "u", "planted-token")
    exchange(b"")
    assert exchange(b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}') == dismissal
    assert exchange.status == "401"
    assert exchange(b"more") is None


@pytest.mark.parametrize(
    ("challenge", "status"),
    [
        (b"", ""), (b"no json", ""), (b"[1]", ""), (b'{"status": 400}', "400"), (b'{"status": null}', ""),
        (b'{"status": ["x"]}', ""), (b"\xff", ""), (b"[" * 100_000, ""), (b'{"status": "invalid_token"}', "invalid_token"),
        (json.dumps({"status": "a\x1b[2Jb" + "x" * 500}).encode(), "a[2Jb" + "x" * 54),
    ],
)  # fmt: skip
def test_the_status_is_read_whatever_is_sent(challenge, status) -> None:
    exchange = Bearer(XOAUTH2, "u", "t")
    exchange(b"")
    exchange(challenge)
    assert exchange.status == status
