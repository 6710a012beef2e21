"""A real Dovecot: mails of all kinds go the whole way, and the mailbox stays as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dovecot import PASSWORD, Dovecot
from support.invariants import assert_invariants, dead_letters, done_count
from support.odd_mails import odd_mails
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest.app.dry_run import SHOWN_PER_MAILBOX
from fastmail_ingest.config import Account
from fastmail_ingest.errors import LoginRefused, SourceUnavailable
from fastmail_ingest.pipeline.stopper import Stopper
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.source.deflate import DeflatedSocket
from fastmail_ingest.source.mailbox import Connection

COUNT = 120
READS = "str(email.subject) + email.sender + email.text + email.html; list(email.attachments)"
FORMS = {
    "sync": f"\n\ndef handle(email):\n    {READS}\n    note(email)\n",
    "async": f"\n\nimport asyncio\n\nasync def handle(email):\n    {READS}\n"
    "    await asyncio.sleep(0)\n    note(email)\n",
    "batch": """

        from fastmail_ingest import batch_handler

        @batch_handler
        def handle(emails):
            for email in emails:
                note(email)
    """,
    "async batch": """

        from fastmail_ingest import batch_handler

        @batch_handler
        async def handle(emails):
            for email in emails:
                note(email)
    """,
}


@pytest.fixture(scope="session")
def mailbox(dovecot: Dovecot) -> str:
    """A user whose INBOX has COUNT odd mails."""
    user = "odd"
    with dovecot.client(user) as client:
        for raw in odd_mails(COUNT):
            client.append("INBOX", raw)
    return user


@pytest.fixture
def supervised(
    tmp_path: Path, dovecot: Dovecot, redis_server: RedisServer, mailbox: str
) -> Iterator["Maker"]:
    maker = Maker(tmp_path, dovecot, redis_server, mailbox)
    yield maker
    for made in maker.made:
        made.close()


class Maker:
    def __init__(self, directory: Path, dovecot: Dovecot, redis_server: RedisServer, user: str) -> None:
        self._directory, self._dovecot, self._redis, self._user = directory, dovecot, redis_server, user
        self.made: list[Supervised] = []

    def __call__(self, body: str, **settings: str) -> Supervised:
        account = f'user = "{self._user}"\npassword = "{PASSWORD}"\ntls = "off"'
        settings.setdefault("account", account)
        made = Supervised(self._directory, self._dovecot.port, self._redis.url, body, **settings)
        self.made.append(made)
        return made


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_handler_gets_each_mail_once(supervised, redis_server, form) -> None:
    run = supervised(FORMS[form])
    assert run.run("--once") == 0, run.text()
    assert len(run.calls()) == COUNT
    assert done_count(redis_server.client()) == COUNT
    assert_invariants(redis_server.client())
    assert run.run("--once") == 0
    assert len(run.calls()) == COUNT


def test_a_handler_in_threads(supervised) -> None:
    run = supervised(FORMS["sync"], handler='target = "handler_under_test:handle"\nthreads = 4')
    assert run.run("--once") == 0
    assert len(run.handled()) == len(run.calls()) == COUNT


def test_the_raw_bytes_arrive_as_they_were(supervised) -> None:
    run = supervised(
        "\n\nimport hashlib, pathlib\n\ndef handle(email):\n    note(email)\n"
        "    pathlib.Path(f'raw-{email.uid}').write_bytes(email.raw)\n"
    )
    assert run.run("--once") == 0
    for uid, raw in enumerate(odd_mails(COUNT), 1):
        assert (run.directory / f"raw-{uid}").read_bytes() == raw


def test_what_raises_is_retried_and_ends_in_the_dead_letters(supervised, redis_server) -> None:
    body = """

        from fastmail_ingest import Reject

        def handle(email):
            note(email)
            if email.uid % 10 == 0:
                raise ValueError("no good")
            if email.uid % 10 == 1:
                raise Reject("never")
    """
    run = supervised(body, retry="attempts = 2\nfirst = 0.0")
    run.start()
    client = redis_server.client()
    wait_until(lambda: len(dead_letters(client)) == COUNT // 5, "a fifth of the mails are dead letters")
    assert run.stop() == 0
    reasons = sorted(letter[b"reason"] for letter in dead_letters(client))
    assert reasons == [b"rejected"] * (COUNT // 10) + [b"retries_exhausted"] * (COUNT // 10)
    assert len(run.calls()) == COUNT + COUNT // 10
    assert_invariants(client)
    letter = next(letter for letter in dead_letters(client) if letter[b"reason"] == b"retries_exhausted")
    assert letter[b"error"] == b"ValueError"
    assert b"no good" in letter[b"traceback"]
    assert letter[b"f"] == b"1"


def test_a_batch_that_raises_fails_only_the_mail_at_fault(supervised, redis_server) -> None:
    body = """

        from fastmail_ingest import batch_handler

        @batch_handler
        def handle(emails):
            if any(email.uid == 7 for email in emails):
                raise RuntimeError("seven")
            for email in emails:
                note(email)
    """
    run = supervised(body, retry="attempts = 1")
    assert run.run("--once") == 0
    assert len(run.handled()) == COUNT - 1
    assert len(dead_letters(redis_server.client())) == 1
    assert_invariants(redis_server.client())


def test_a_dry_run_shows_and_writes_nothing(supervised, redis_server) -> None:
    run = supervised(FORMS["sync"])
    before = sorted(path.name for path in run.directory.iterdir())
    assert run.run("--dry-run") == 0
    assert f"{COUNT} would be handled" in run.text()
    after = {path.name for path in run.directory.iterdir()} - {"log", "__pycache__", "calls"}
    assert after <= set(before)
    assert redis_server.client().dbsize() == 0
    assert run.calls() == []
    # Whoever reads it by a program gets one line a mail, however narrow the terminal would be.
    assert sum(" uid " in line for line in run.text().splitlines()) == SHOWN_PER_MAILBOX
    assert all(" bytes, from " in line for line in run.text().splitlines() if " uid " in line)


def test_a_dry_run_leaves_old_mail_alone_where_the_run_would(supervised) -> None:
    run = supervised(FORMS["sync"])
    run.config.write_text(run.config.read_text().replace('name = "sim"', 'name = "sim"\nstart = "now"'))
    assert run.run("--dry-run") == 0
    assert f"{COUNT} mails, 0 would be handled" in run.text()


def test_no_flag_is_ever_set(supervised, dovecot, mailbox) -> None:
    assert supervised(FORMS["sync"]).run("--once") == 0
    with dovecot.client(mailbox) as client:
        client.select_folder("INBOX", readonly=True)
        flags = client.get_flags(client.search())
    assert not any(b"\\Seen" in each for each in flags.values())


def account(dovecot: Dovecot, **changes: object) -> Account:
    fields = {
        "name": "d",
        "host": "127.0.0.1",
        "port": dovecot.port,
        "tls": "off",
        "user": "odd",
        "password": PASSWORD,
    }
    return Account(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("tls", ["off", "starttls", "on"])
def test_each_kind_of_connection(dovecot, mailbox, tls, compress) -> None:
    port = dovecot.tls_port if tls == "on" else dovecot.port
    ca_file = "" if tls == "off" else str(dovecot.certificate)
    source = Connection(
        account(dovecot, tls=tls, port=port, tls_ca_file=ca_file, compress=compress), 10.0, 1 << 20
    )
    state = source.examine("INBOX")
    fetched = list(source.fetch(Window(1, state.uid_next - 1)))
    source.close()
    assert [mail.raw for mail in fetched] == odd_mails(COUNT)


def test_an_untrusted_certificate_is_refused_with_a_remedy(dovecot) -> None:
    with pytest.raises(SourceUnavailable, match="tls_ca_file"):
        Connection(account(dovecot, tls="on", port=dovecot.tls_port), 10.0, 1 << 20)


def test_a_wrong_password_is_refused_with_a_remedy(dovecot) -> None:
    with pytest.raises(LoginRefused, match="check user and password"):
        Connection(account(dovecot, password="wrong"), 10.0, 1 << 20)


def test_a_mail_above_the_limit_is_cut_and_the_stream_stays_in_step(dovecot, mailbox) -> None:
    source = Connection(account(dovecot), 10.0, 1000)
    state = source.examine("INBOX")
    fetched = list(source.fetch(Window(1, state.uid_next - 1)))
    source.close()
    assert len(fetched) == COUNT
    large = [mail for mail in fetched if mail.size > 1000]
    assert large
    assert all(mail.truncated and len(mail.raw) == 1000 for mail in large)


def test_idle_wakes(dovecot) -> None:
    source = Connection(account(dovecot, user="sleeper"), 30.0, 1 << 20)
    source.examine("INBOX")
    with dovecot.client("sleeper") as other:
        other.append("INBOX", b"Subject: wake up\r\n\r\n")
    source.wait(30.0, Stopper().fd)
    source.look()
    assert source.uids_above(0) == [1]
    source.close()


def test_a_compressed_connection_is_woken_and_goes_on(dovecot) -> None:
    source = Connection(account(dovecot, user="dense", compress=True), 30.0, 1 << 20)
    assert isinstance(source._client.wire.sock, DeflatedSocket)
    source.examine("INBOX")
    raws = [b"Subject: %d\r\n\r\n" % number + bytes((65 + number,)) * 300_000 for number in range(3)]
    with dovecot.client("dense") as other:
        for raw in raws:
            other.append("INBOX", raw)
    source.wait(30.0, Stopper().fd)
    source.look()
    assert [mail.raw for mail in source.fetch(Window(1, 3))] == raws
    source.close()


def test_a_mailbox_is_found_by_its_use_and_asked_about_without_opening_it(dovecot) -> None:
    with dovecot.client("dense") as client:
        client.create_folder("Alle Nachrichten")
        client.append("Alle Nachrichten", b"Subject: x\r\n\r\n")
    source = Connection(account(dovecot, user="dense"), 30.0, 1 << 20)
    told = source.status("\\All")
    assert told is not None
    assert (told.uid_next, told.exists) == (2, 1)
    opened = source.examine("\\All")
    assert (opened.uid_validity, opened.uid_next) == (told.uid_validity, told.uid_next)
    assert source.status("\\All") is None, "not to be asked about the mailbox that is open"
    assert source.status("No such mailbox") is None
    source.close()


def test_a_mailbox_with_a_name_beyond_ascii(supervised, dovecot) -> None:
    with dovecot.client("intl") as client:
        client.create_folder("Rechnungen/März & Söhne")
        client.append("Rechnungen/März & Söhne", b"Subject: x\r\n\r\n")
    account = f'user = "intl"\npassword = "{PASSWORD}"\ntls = "off"\n'
    account += 'mailboxes = ["INBOX", "Rechnungen/März & Söhne"]'
    run = supervised(FORMS["sync"], account=account)
    assert run.run("--once") == 0
    (identity,) = run.handled()
    assert "März & Söhne" in identity
