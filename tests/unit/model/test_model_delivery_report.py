"""Bounces: those of RFC 3464, and those in words only."""

import pytest
from support.corpora import KEPT, mails_in
from support.everything import email_of

REPORT = b"""\
Return-Path: <>\r
From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r
Auto-Submitted: auto-replied\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
\r
I am sorry.\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.example.org\r
Arrival-Date: Tue, 24 Nov 2026 10:00:00 +0000\r
\r
Original-Recipient: rfc822;Bob@example.net\r
Final-Recipient: rfc822; bob@mail.example.net\r
Action: %s\r
Status: %s (unknown)\r
Remote-MTA: dns; mail.example.net\r
Diagnostic-Code: smtp; 550 5.1.1 no such\r
    user here\r
\r
Final-Recipient: rfc822; carl@example.net\r
Action: delivered\r
Status: 2.0.0\r
--b\r
Content-Type: message/rfc822\r
\r
From: ann@example.org\r
Message-ID: <mine@example.org>\r
\r
hello\r
--b--\r
"""


def test_a_report_of_failure() -> None:
    email = email_of(REPORT % (b"Failed", b"5.1.1"))
    report = email.delivery_report
    assert (report.reporting_mta, report.message_id) == ("mx.example.org", "mine@example.org")
    bob, carl = report.recipients
    assert (bob.recipient, bob.original_recipient) == ("bob@mail.example.net", "Bob@example.net")
    assert (bob.action, bob.status, bob.is_permanent) == ("failed", "5.1.1", True)
    assert (bob.diagnostic, bob.remote_mta) == ("550 5.1.1 no such user here", "mail.example.net")
    assert (carl.action, carl.is_permanent, carl.original_recipient) == ("delivered", False, "")
    assert email.is_bounce
    assert email.is_auto_submitted


@pytest.mark.parametrize(("action", "status"), [(b"delayed", b"4.4.1"), (b"delivered", b"2.0.0")])
def test_a_report_that_is_no_bounce(action: bytes, status: bytes) -> None:
    email = email_of(REPORT % (action, status))
    assert email.delivery_report.recipients[0].action == action.decode()
    assert not email.is_bounce


@pytest.mark.parametrize(
    ("raw", "so"),
    [
        (b"From: MAILER-DAEMON@x.y\r\nReturn-Path: <>\r\n\r\nfailed", True),
        (b"From: MAILER-DAEMON@x.y\r\nSubject: Undeliverable: hello\r\n\r\nfailed", True),
        (
            b"From: MAILER-DAEMON@x.y\r\nSubject: Warning: could not send message for past 4 hours\r\n\r\nwait",
            False,
        ),
        (b"From: MAILER-DAEMON@x.y\r\nSubject: Delivery Status Notification (Delay)\r\n\r\nwait", False),
        (b"From: a@x.y\r\nX-Failed-Recipients: b@x.y\r\n\r\nfailed", True),
        (b"From: ann@x.y\r\nReturn-Path: <>\r\n\r\nI am away", False),
        (b"From: postmaster@x.y\r\nReturn-Path: <postmaster@x.y>\r\n\r\nhello", False),
        (b"From: ann@x.y\r\n\r\nhello", False),
    ],
)
def test_bounces_in_words_only(raw: bytes, so: bool) -> None:
    email = email_of(raw)
    assert email.delivery_report is None
    assert email.is_bounce is so


def test_a_report_without_a_recipient_is_none() -> None:
    email = email_of(b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n")
    assert email.delivery_report is None


def test_reports_of_many_servers_name_their_recipients() -> None:
    """Of each file that has a message/delivery-status part with a Final-Recipient, the report has it, too."""
    seen = 0
    for path in mails_in(KEPT / "flufl.bounce"):
        raw = path.read_bytes()
        if b"message/delivery-status" not in raw.lower() or b"\nfinal-recipient:" not in raw.lower():
            continue
        report = email_of(raw).delivery_report
        if report is None:  # the words stand in a text or in an enclosed mail
            continue
        seen += 1
        for each in report.recipients:
            assert "@" in each.recipient + each.original_recipient, path  # some are in X.400
    assert seen >= 15


def test_a_report_that_a_person_encloses_is_not_theirs() -> None:
    raw = (REPORT % (b"failed", b"5.1.1")).replace(b"multipart/report", b"multipart/mixed")
    raw = raw.replace(b"Return-Path: <>\r\n", b"").replace(b"MAILER-DAEMON@mx", b"ann@mx")
    email = email_of(raw.replace(b"Auto-Submitted: auto-replied\r\n", b""))
    assert (email.delivery_report, email.is_bounce, email.is_auto_submitted) == (None, False, False)
