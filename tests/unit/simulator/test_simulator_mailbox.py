"""Mailboxes: UIDs that only rise, lazily rendered mails, and listeners."""

import pytest

from fastmail_ingest.simulator import Account, Mail, Mailbox, Store, UidSet, mail_of
from fastmail_ingest.simulator.mailbox import split_raw
from fastmail_ingest.simulator.messages import parse_date_time


class Recorder:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def appended(self, uid: int) -> None:
        self.heard.append(("appended", uid))

    def expunged(self, uid: int) -> None:
        self.heard.append(("expunged", uid))

    def flagged(self, uid: int) -> None:
        self.heard.append(("flagged", uid))


def test_uids_rise_and_are_never_given_again() -> None:
    mailbox = Mailbox("INBOX")
    assert [mailbox.append(mail_of(b"A: b\r\n\r\n")).uid for _ in range(3)] == [1, 2, 3]
    assert mailbox.expunge(3)
    assert mailbox.append(mail_of(b"A: b\r\n\r\n")).uid == 4
    assert (mailbox.uids, mailbox.uid_next) == ([1, 2, 4], 5)


def test_a_mail_may_bring_a_higher_uid_of_its_own() -> None:
    mailbox = Mailbox("INBOX")
    mailbox.append(Mail(source=lambda _number: (b"", b""), uid=1000))
    assert mailbox.append(mail_of(b"")).uid == 1001


def test_a_lazy_mail_is_rendered_when_it_is_asked_for() -> None:
    rendered: list[int] = []

    def render(number: int) -> tuple[bytes, bytes]:
        rendered.append(number)
        return b"Subject: %d\r\n\r\n" % number, b"body"

    mailbox = Mailbox("INBOX")
    for number in range(100):
        mailbox.append(Mail(source=render, number=number))
    assert not rendered
    mail = mailbox.find(18)
    assert mail is not None
    assert mail.render() == (b"Subject: 17\r\n\r\n", b"body")
    assert rendered == [17]
    assert mail.size == 19


def test_finds_and_selects_by_uid() -> None:
    mailbox = Mailbox("INBOX")
    for _ in range(5):
        mailbox.append(mail_of(b"A: b\r\n\r\n"))
    mailbox.expunge(3)
    assert mailbox.find(3) is None
    assert mailbox.find(99) is None
    assert not mailbox.expunge(3)
    assert [mail.uid for mail in mailbox.select(UidSet.parse(b"2:4,9:*"))] == [2, 4, 5]


def test_listeners_hear_every_change_until_they_leave() -> None:
    mailbox, recorder = Mailbox("INBOX"), Recorder()
    mailbox.listen(recorder)
    mail = mailbox.append(mail_of(b"A: b\r\n\r\n"))
    mailbox.set_flags(mail, frozenset({r"\Seen"}))
    mailbox.set_flags(mail, frozenset({r"\Seen"}))
    mailbox.expunge(1)
    mailbox.unlisten(recorder)
    mailbox.append(mail_of(b"A: b\r\n\r\n"))
    assert recorder.heard == [("appended", 1), ("flagged", 1), ("expunged", 1)]


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        (b"A: b\r\n\r\nbody", (b"A: b\r\n\r\n", b"body")),
        (b"A: b\n\nbody\r\n\r\n", (b"A: b\n\n", b"body\r\n\r\n")),
        (b"A: b\r\n", (b"A: b\r\n", b"")),
        (b"", (b"", b"")),
    ],
)
def test_a_message_is_split_at_its_first_blank_line(raw: bytes, content: tuple[bytes, bytes]) -> None:
    assert split_raw(raw) == content


def test_inbox_is_found_in_any_case_and_other_names_are_not() -> None:
    account = Account("u", "p")
    inbox, work = account.add(Mailbox("INBOX")), account.add(Mailbox("Work"))
    assert account.mailbox("inBox") is inbox
    assert account.mailbox("Work") is work
    assert account.mailbox("work") is None


def test_the_store_judges_passwords_and_tokens() -> None:
    account = Account("u", "p", token_valid=lambda token: token == "good")
    store = Store([account, Account("other", "x")])
    assert store.by_password("u", "p") is account
    assert store.by_password("u", "x") is None
    assert store.by_password("nobody", "p") is None
    assert store.by_token("u", "good") is account
    assert store.by_token("u", "bad") is None
    assert store.by_token("other", "good") is None


def test_the_date_of_an_append_is_read_with_its_zone() -> None:
    assert parse_date_time(b" 7-Feb-2024 21:52:25 -0800") == 1707371545
    assert parse_date_time(b"08-Feb-2024 05:52:25 +0000") == 1707371545
