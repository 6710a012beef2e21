"""Asking a human for a grant: in a browser here, in one elsewhere, or by a device code."""

import os
import select
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

from fastmail_ingest.app.operate import words
from fastmail_ingest.config import Account
from fastmail_ingest.credential.grant import Grant
from fastmail_ingest.credential.redirect import Listener, NotTheAnswer, code_in
from fastmail_ingest.errors import LoginRefused

# Google's codes are good for some minutes only.
WAIT_S = 600.0
_PASTES_MAX = 5
_STDIN = 0
_BLOCK_BYTES = 4096


def ask_google(account: Account, *, browser: bool) -> Grant:
    """The grant of a Google user. Raises LoginRefused, TokenUnavailable or ConfigError."""
    from fastmail_ingest.credential.google_consent import Consent  # noqa: PLC0415 - large packages

    with closing(Listener()) as listener:
        consent = Consent(account, listener.redirect_uri)
        if browser:
            with listener.listening(consent.state):
                _open(account, consent.url)
                return consent.grant(listener.code(WAIT_S))
    # Nobody listens at the address now: the browser is elsewhere, and would not reach us anyway.
    words.say(f"Open this address in a browser on any machine, and allow {account.user} to be read:")
    words.say(consent.url)
    words.say(
        f"The browser ends at a page that cannot be shown ({listener.redirect_uri}...). Copy its whole "
        f"address from the address bar, and paste it here within {words.duration(WAIT_S)}:"
    )
    return consent.grant(_pasted(consent.state))


def ask_microsoft(account: Account) -> Grant:
    """The grant of a Microsoft user. Raises LoginRefused, TokenUnavailable or ConfigError."""
    from fastmail_ingest.credential.microsoft import SIGN_IN_S, MicrosoftEntry  # noqa: PLC0415 - an extra

    entry = MicrosoftEntry(account, deadline_s=2 * SIGN_IN_S)
    flow = entry.device_flow()
    words.say(f"Sign in as {account.user} (in a browser on any machine):")
    words.say(flow["message"])
    words.say(f"Waiting for it, {words.duration(SIGN_IN_S)} at the most ...")
    grant = entry.grant_by(flow)
    if entry.signed_in.lower() != account.user.lower():
        words.say(
            f"note: {entry.signed_in} has signed in, the account's user is {account.user}; that works only "
            "for a mailbox which they have full access to"
        )
    return grant


def _open(account: Account, url: str) -> None:
    words.say(f"Opening a browser; allow {account.user} to be read there. If none opens, the address is:")
    words.say(url)
    if not webbrowser.open(url):
        words.say("no browser was found here. On a machine without one: --no-browser")
    words.say(f"Waiting for the browser, {words.duration(WAIT_S)} at the most (Ctrl-C ends it) ...")


def _pasted(state: str) -> str:
    pasted = (line for line in _lines(time.monotonic() + WAIT_S) if line.strip())
    for line in islice(pasted, _PASTES_MAX):
        try:
            return code_in(line, state)
        except NotTheAnswer as error:
            words.say(f"That is not it: {error}:")
    raise LoginRefused("no address with a code was pasted. remedy: start again")


def _lines(deadline: float) -> Iterator[str]:
    """Lines from standard input, until it ends or time is up; it is not buffered, so that select sees all."""
    sys.stdout.flush()
    rest = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([_STDIN], [], [], left_s)[0]:
            return
        block = os.read(_STDIN, _BLOCK_BYTES)
        *lines, rest = (rest + block).split(b"\n")
        if not block:
            lines = [rest]
        for line in lines:
            yield line.decode("utf-8", "replace")
        if not block:
            return
