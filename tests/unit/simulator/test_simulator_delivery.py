"""The open-loop schedule: a mail is stamped with when it was due, however late it is."""

import asyncio
import email
import time

from fastmail_ingest.simulator import DUE_HEADER, NUMBER_HEADER, Corpus, Mailbox, deliver, preload


def test_late_mails_are_appended_at_once_with_their_scheduled_time() -> None:
    mailbox, corpus = Mailbox("INBOX"), Corpus(1, 1500)
    started_at = time.monotonic() - 60
    worst = asyncio.run(deliver(mailbox, corpus, 10.0, 100, started_at))
    assert worst >= 60
    heads = [email.message_from_bytes(mail.head) for mail in mailbox.mails]
    assert [head[NUMBER_HEADER] for head in heads] == [str(number) for number in range(100)]
    assert [head[DUE_HEADER] for head in heads] == [
        f"{started_at + number / 10:.6f}" for number in range(100)
    ]


def test_no_mail_comes_before_it_is_due() -> None:
    mailbox, corpus = Mailbox("INBOX"), Corpus(1, 1500)
    early: list[float] = []

    class Watch:
        def appended(self, uid: int) -> None:
            mail = mailbox.find(uid)
            assert mail is not None
            early.append(float(email.message_from_bytes(mail.head)[DUE_HEADER]) - time.monotonic())

        def expunged(self, uid: int) -> None: ...

        def flagged(self, uid: int) -> None: ...

    mailbox.listen(Watch())
    asyncio.run(deliver(mailbox, corpus, 500.0, 20, time.monotonic() + 0.01))
    assert len(early) == 20
    assert max(early) <= 0.000001


def test_a_stamp_of_ones_own_replaces_the_headers() -> None:
    mailbox = Mailbox("INBOX")
    asyncio.run(
        deliver(
            mailbox, Corpus(1, 1500), 1e6, 3, time.monotonic(), lambda number, _due: [("X-A", str(number))]
        )
    )
    assert [email.message_from_bytes(mail.head)["X-A"] for mail in mailbox.mails] == ["0", "1", "2"]
    assert DUE_HEADER not in email.message_from_bytes(mailbox.mails[0].head)


def test_preloaded_mails_share_their_bodies() -> None:
    mailbox, corpus = Mailbox("INBOX"), Corpus(1)
    preload(mailbox, corpus, 500, first=100)
    assert len(mailbox) == 500
    assert mailbox.mails[0].render() == corpus.render(100)
    assert mailbox.mails[0].body is mailbox.mails[250].body
