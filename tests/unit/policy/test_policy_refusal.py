"""What mail servers say when they refuse, as their users have reported it, and what it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmail_ingest.policy.refusal import Outcome, blames_the_mail, classify, shuts_the_account

SAID = [
    ("[UNAVAILABLE] Temporary authentication failure.", Outcome.RETRY),
    ("[INUSE] Mailbox in use", Outcome.RETRY),
    ("[LIMIT] UID FETCH Rate limit hit", Outcome.RETRY),
    ("[SERVERBUG] Internal error occurred.", Outcome.RETRY),
    ("UID FETCH failed [THROTTLED]", Outcome.RETRY),
    ("Session expired, please login again", Outcome.RETRY),
    ("[ALERT] Account exceeded command or bandwidth limits. (Failure)", Outcome.REST),
    ("[OVERQUOTA] Account exceeded command or bandwidth limits", Outcome.REST),
    ("[AUTHENTICATIONFAILED] Invalid credentials (Failure)", Outcome.REFRESH),
    ("[EXPIRED] password expired", Outcome.REFRESH),
    ("[AUTHORIZATIONFAILED] no", Outcome.SUSPEND),
    ("[CONTACTADMIN] locked", Outcome.SUSPEND),
    ("[PRIVACYREQUIRED] TLS first", Outcome.SUSPEND),
    ("[ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754", Outcome.SUSPEND),
    ("[ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833", Outcome.SUSPEND),
    ("[WEBALERT https://accounts.google.com/signin/continue] Web login required.", Outcome.SUSPEND),
    ("[ALERT] Your account is not enabled for IMAP use.", Outcome.SUSPEND),
    ("User is authenticated but not connected.", Outcome.SUSPEND),
    ("[CORRUPTION] Mail is damaged", Outcome.QUARANTINE),
    ("[NONEXISTENT] Unknown Mailbox: Sents (now in authenticated state)", Outcome.QUARANTINE),
    ("[X-UNHEARD-OF] something", Outcome.UNKNOWN),
    ("LOGIN failed.", Outcome.UNKNOWN),
    ("", Outcome.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("text", "outcome"), SAID, ids=[text[:40] for text, _ in SAID])
def test_outcome(text: str, outcome: Outcome) -> None:
    assert classify(text).outcome is outcome
    assert classify(text.lower()).outcome is outcome


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Request is throttled. Suggested Backoff Time: 299961 milliseconds", 299.961),
        ("BYE Request is throttled. Suggested Backoff Time: 30 seconds", 30.0),
        ("suggested backoff time 1500", 1.5),
        ("Suggested Backoff Time: 999999999999 milliseconds", 6 * 3600.0),
    ],
)
def test_a_suggested_wait_is_taken_up_to_some_hours(text: str, seconds: float) -> None:
    refusal = classify(text)
    assert refusal.outcome is Outcome.RETRY
    assert refusal.retry_after_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "[ALERT] Too many simultaneous connections. (Failure)",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
    ],
)
def test_too_many_connections_is_told_from_other_limits(text: str) -> None:
    assert classify(text).too_many_connections
    assert classify(text).outcome is Outcome.RETRY


def test_a_mail_is_blamed_only_where_the_server_does_not_blame_itself() -> None:
    for text in ("[SERVERBUG] Internal error", "[CORRUPTION] damaged", "UID FETCH failed", "[CANNOT] no"):
        assert blames_the_mail(text)
    for text in ("[UNAVAILABLE] no", "[OVERQUOTA] bandwidth", "[THROTTLED] slow", "server busy"):
        assert not blames_the_mail(text)


@pytest.mark.parametrize(
    ("text", "shuts"),
    [
        ("EXAMINE failed: User is authenticated but not connected.", True),
        ("[ALERT] Please log in via your web browser: https://support.google.com/mail/", True),
        ("[WEBALERT https://accounts.google.com/signin/continue] Web login required.", True),
        ("[NOPERM] Permission denied", False),
        ("[NOPERM] Permission denied: App passwords", False),
        ("[NONEXISTENT] Unknown Mailbox: web browser", False),
        ("[CONTACTADMIN] this mailbox is damaged", False),
        ("Mailbox does not exist", False),
        ("server busy", False),
    ],
)
def test_what_is_said_of_a_mailbox_may_concern_the_account(text: str, shuts: bool) -> None:
    assert shuts_the_account(text) is shuts


@given(st.text(max_size=300))
def test_no_words_are_too_strange(text: str) -> None:
    refusal = classify(text)
    assert 0.0 <= refusal.retry_after_s <= 6 * 3600.0
