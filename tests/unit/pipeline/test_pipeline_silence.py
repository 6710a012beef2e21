"""Who owes an answer is told apart from who is quiet, and from who said no."""

import time

import pytest
from support.fake_mailbox import FakeServer

from fastmail_ingest.errors import (
    FastmailIngestError,
    LimitReached,
    LoginRefused,
    ProtocolError,
    SourceUnavailable,
    TooManyConnections,
)
from fastmail_ingest.pipeline.silence import Silence

LONG_S = 1000.0


@pytest.fixture
def silence() -> Silence:
    return Silence(lambda: False)


@pytest.fixture
def server(silence: Silence) -> FakeServer:
    """One that has let us in."""
    made = FakeServer()
    silence.connecting()
    silence.connected(made)
    silence.served()
    return made


def in_a_while(silence: Silence) -> float:
    return silence.unanswered_s(time.monotonic() + LONG_S)


def test_who_was_asked_nothing_owes_nothing(silence: Silence, server: FakeServer) -> None:
    assert in_a_while(silence) == 0.0
    silence.ended()
    assert in_a_while(silence) == 0.0


def test_a_connect_or_login_that_hangs(silence: Silence) -> None:
    silence.connecting()
    assert in_a_while(silence) >= LONG_S


def test_an_answer_that_is_owed(silence: Silence, server: FakeServer) -> None:
    now = time.monotonic()
    server.waits_since = now - 7.0
    assert silence.unanswered_s(now) == pytest.approx(7.0)
    server.waits_since = 0.0
    assert in_a_while(silence) == 0.0


@pytest.mark.parametrize("error", [SourceUnavailable("no answer in time"), ProtocolError("no IMAP")])
def test_it_lasts_until_a_connection_serves_again(
    silence: Silence, server: FakeServer, error: FastmailIngestError
) -> None:
    now = time.monotonic()
    server.waits_since = now - 7.0
    silence.failed(error)
    silence.connecting()
    silence.failed(error)
    assert silence.unanswered_s(now) == pytest.approx(7.0)
    again = FakeServer()
    silence.connecting()
    silence.connected(again)
    assert silence.unanswered_s(now) == pytest.approx(7.0), "it let us in, and served nothing yet"
    silence.served()
    assert in_a_while(silence) == 0.0


@pytest.mark.parametrize("error", [LoginRefused("no"), LimitReached("later"), TooManyConnections("full")])
def test_who_says_no_has_answered(silence: Silence, server: FakeServer, error: FastmailIngestError) -> None:
    silence.failed(SourceUnavailable("closed"))
    silence.failed(error)
    assert in_a_while(silence) == 0.0


def test_an_account_that_is_left_alone_owes_nothing() -> None:
    silence = Silence(lambda: True)
    silence.failed(SourceUnavailable("come back in an hour"))
    assert in_a_while(silence) == 0.0


def test_a_step_of_ours_that_takes_longer_than_it_said(silence: Silence) -> None:
    silence.expect_within(10.0)
    assert silence.overdue_s(time.monotonic()) == 0.0
    assert silence.overdue_s(time.monotonic() + LONG_S) > 900.0
