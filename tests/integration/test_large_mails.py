"""Large mails go the whole way: through a file to the handler, byte for byte, and nothing is left behind."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.dovecot import PASSWORD, Dovecot
from support.invariants import assert_invariants, dead_letters, done_count
from support.large_mail import BLOBS, HANDLER, INLINE, files, large_mail, told
from support.redis_server import RedisServer
from support.supervised import Supervised
from support.waiting import wait_until

from fastmail_ingest import DeadLetters
from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.blob.draft import FileDraft
from fastmail_ingest.config import Account
from fastmail_ingest.model.blob import blob_name
from fastmail_ingest.model.mailbox import MailboxKey
from fastmail_ingest.pipeline.orphans import ORPHANED_S, Orphans
from fastmail_ingest.policy.uidplan import Window
from fastmail_ingest.simulator import Account as Served
from fastmail_ingest.simulator import Fault, Faults, ImapServer, Mailbox, ServerThread, Store, mail_of
from fastmail_ingest.source.large import Large
from fastmail_ingest.source.mailbox import Connection
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.scripts import Arguments

COUNT = 6


class Inbox:
    """A simulated INBOX for mails of any size."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.mailbox = Mailbox("INBOX", uid_validity=7)
        account = Served("u", "p")
        account.add(self.mailbox)
        self.server = ServerThread(ImapServer(Store([account]), faults=self.faults))

    def add(self, *raws: bytes) -> None:
        self.server.call(lambda: [self.mailbox.append(mail_of(raw)) for raw in raws])


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    with made.server:
        yield made


@pytest.fixture
def supervised(tmp_path: Path, inbox: Inbox, redis_server: RedisServer) -> Iterator["Maker"]:
    maker = Maker(tmp_path, inbox.server.port, redis_server.url)
    yield maker
    for made in maker.made:
        made.close()


class Maker:
    def __init__(self, directory: Path, port: int, redis_url: str) -> None:
        self._directory, self._port, self._redis_url = directory, port, redis_url
        self.made: list[Supervised] = []

    def __call__(self, body: str = HANDLER, **settings: str) -> Supervised:
        made = Supervised(self._directory, self._port, self._redis_url, body, **{"blobs": BLOBS, **settings})
        self.made.append(made)
        return made


def lines_of(run: Supervised) -> list[str]:
    return [line.rsplit(" ", 1)[0] for line in run.calls_file.read_text().splitlines()]


def test_large_mails_among_small_ones_reach_the_handler_as_they_were(supervised, inbox, redis_server) -> None:
    mails = [large_mail(number) if number % 2 else large_mail(number, 2000) for number in range(COUNT)]
    inbox.add(*mails)
    run = supervised()
    assert run.run("--once") == 0, run.text()
    assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(mails))
    assert done_count(redis_server.client()) == COUNT
    assert_invariants(redis_server.client())
    assert files(run.directory) == []
    assert run.run("--once") == 0
    assert len(lines_of(run)) == COUNT


@pytest.mark.parametrize("form", ["async", "batch", "threads"])
def test_each_form_of_handler_can_read_them(supervised, inbox, form) -> None:
    raws = [large_mail(number) for number in range(3)]
    inbox.add(*raws)
    reads = "os.write(CALLS, f'{email.subject} {email.size} {hashlib.sha256(email.raw).hexdigest()} 1\\n'.encode())"
    body = {
        "async": f"\n\nimport hashlib, os\n\nasync def handle(email):\n    {reads}\n",
        "threads": f"\n\nimport hashlib, os\n\ndef handle(email):\n    {reads}\n",
        "batch": "\n\nimport hashlib, os\nfrom fastmail_ingest import batch_handler\n\n@batch_handler\n"
        f"def handle(emails):\n    for email in emails:\n        {reads}\n",
    }[form]
    threads = "\nthreads = 2" if form == "threads" else ""
    run = supervised(body, handler=f'target = "handler_under_test:handle"{threads}')
    assert run.run("--once") == 0, run.text()
    assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(raws))
    assert files(run.directory) == []


def test_redis_holds_little_of_a_large_mail_and_the_file_is_private(supervised, inbox, redis_server) -> None:
    inbox.add(large_mail(1, 5_000_000))
    body = "\n\nfrom fastmail_ingest import Retry\n\ndef handle(email):\n    raise Retry(after=3600)\n"
    run = supervised(body)
    assert run.run("--once") == 0
    client = redis_server.client()
    assert client.zcard("{fmi:0}:delayed") == 1
    assert sum(len(value) for value in client.hvals("{fmi:0}:delayed:body")) < 100_000
    (blob,) = files(run.directory)
    assert blob.stat().st_size == 5_000_000
    assert blob.stat().st_mode & 0o077 == 0
    assert blob.parent.name.encode() == client.get("{fmi:0}:blobs")


def test_a_dead_letter_keeps_its_blob_for_eml_and_replay(supervised, inbox, redis_server, tmp_path) -> None:
    raw = large_mail(1)
    inbox.add(raw)
    reject = "\n\nfrom fastmail_ingest import Reject\n\ndef handle(email):\n    raise Reject('no')\n"
    run = supervised(reject)
    assert run.run("--once") == 0
    with DeadLetters.of(run.config) as dead:
        (letter,) = dead.find()
        assert letter.email is not None
        assert letter.email.subject == "big1"
        assert dead.export(letter.id) == raw
        (blob,) = files(run.directory)
        hidden = blob.rename(tmp_path / "elsewhere")
        shown = dead.show(letter.id)
        assert shown.email is not None
        assert shown.email.text  # the beginning is in Redis
        hidden.rename(blob)
        assert dead.replay([letter.id]) == 1
    again = supervised()
    assert again.run("--once") == 0
    assert lines_of(again) == [told(1, raw)]
    assert files(run.directory) == []
    assert_invariants(redis_server.client())


def test_a_lost_blob_is_an_error_of_that_mail_alone(supervised, inbox, redis_server) -> None:
    raws = [large_mail(1), large_mail(2)]
    inbox.add(*raws)
    delaying = "\n\nfrom fastmail_ingest import Retry\n\ndef handle(email):\n    raise Retry(after=1)\n"
    run = supervised(delaying)
    assert run.run("--once") == 0
    lost = next(path for path in files(run.directory) if b"Subject: big1" in path.read_bytes()[:100])
    lost.unlink()
    once_more = supervised(HANDLER, retry="attempts = 2\nfirst = 0")
    wait_until(lambda: redis_server.client().zcard("{fmi:0}:delayed") == 2, "both wait")
    once_more.start()
    wait_until(lambda: len(dead_letters(redis_server.client())) == 1, "the one without bytes is dead")
    once_more.wait_for_lines(1)
    assert once_more.stop() == 0
    assert lines_of(once_more) == [told(2, raws[1])]
    (fields,) = [fields for _, fields in redis_server.client().xrange("{fmi:0}:dead")]
    assert fields[b"error"] == b"BlobUnavailable"
    assert b"remedy: with several hosts, [blobs] directory must be one that all share" in fields[b"message"]


def test_a_mail_that_comes_again_leaves_no_blob(supervised, inbox, redis_server) -> None:
    raw = large_mail(1)
    inbox.add(raw)
    run = supervised()
    assert run.run("--once") == 0
    redis_server.client().delete("{fmi:0}:cursor:sim:INBOX")  # everything is fetched again
    assert run.run("--once") == 0
    assert lines_of(run) == [told(1, raw)]
    assert files(run.directory) == []
    inbox.server.call(lambda: setattr(inbox.mailbox, "uid_validity", 8))
    assert run.run("--once") == 0
    assert lines_of(run) == [told(1, raw)]  # known by its content
    assert files(run.directory) == []


@pytest.mark.parametrize("fault", [Fault.CUT_LITERAL, Fault.WRONG_SIZE, Fault.SPLIT, Fault.BYE])
def test_faults_within_a_large_mail_cost_a_second_try(supervised, inbox, fault) -> None:
    raws = [large_mail(number, 400_000) for number in range(5)]
    inbox.add(*raws)
    inbox.faults.arm(fault, 2)
    run = supervised()
    assert run.run("--once") == 0, run.text()
    assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(raws))
    assert files(run.directory) == []


def test_one_above_max_mail_is_dead_at_once_with_its_headers_and_no_file(
    supervised, inbox, redis_server
) -> None:
    inbox.add(large_mail(1, 900_000), large_mail(2, 2000))
    run = supervised(producer="max_mail = 500000")
    assert run.run("--once") == 0
    assert lines_of(run) == [told(2, large_mail(2, 2000))]
    with DeadLetters.of(run.config) as dead:
        (letter,) = dead.find()
        assert (letter.reason, letter.email.subject if letter.email else "") == ("too_large", "big1")
    assert files(run.directory) == []


def test_a_directory_that_cannot_be_written_is_refused_at_the_start(supervised, tmp_path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    run = supervised(blobs='directory = "taken"')
    assert run.run("--once") == 2
    assert "[blobs] directory: cannot write to" in run.text()
    assert "remedy: choose one" in run.text()


def test_where_large_mails_cannot_be_kept_small_ones_go_on_and_none_is_lost(
    supervised, inbox, redis_server
) -> None:
    run = supervised().start()
    incoming = run.directory / "fastmail-ingest-blobs" / "incoming"
    wait_until(incoming.is_dir, "it is at work")
    # As good as a full disk, and true for root, too.
    wait_until(lambda: not list(incoming.iterdir()), "nobody looks after it now")
    incoming.rmdir()
    raws = [large_mail(number, 400_000 if number == 2 else 2000) for number in range(5)]
    inbox.add(*raws)
    run.wait_for_lines(4)
    small = sorted(told(number, raw) for number, raw in enumerate(raws) if number != 2)
    assert sorted(lines_of(run)) == small
    wait_until(lambda: "UID 3 cannot be fetched and is left aside" in run.text(), "it says so")
    assert "a large mail cannot be kept in" in run.text()
    assert "remedy: make room there" in run.text()
    assert run.stop() == 0
    books, key = Ledger(redis_server.url, "", Arguments(Keys("fmi"), 90)).accounts, MailboxKey("sim", "INBOX")
    (aside,) = books.quarantine(key)
    books.put_quarantine(key, [replace(aside, again_at=0.0)])  # its time has come
    assert run.run("--once") == 0
    assert sorted(lines_of(run)) == sorted([*small, told(2, raws[2])])
    assert files(run.directory) == []


def test_dovecot_gives_large_mails_the_same_way(dovecot: Dovecot, tmp_path, redis_server) -> None:
    raws = [large_mail(number, size) for number, size in enumerate((8_000_000, 1000, 2_000_000))]
    with dovecot.client("large") as client:
        for raw in raws:
            client.append("INBOX", raw)
    account = f'user = "large"\npassword = "{PASSWORD}"\ntls = "off"'
    with closing(
        Supervised(tmp_path, dovecot.port, redis_server.url, HANDLER, account=account, blobs=BLOBS)
    ) as run:
        assert run.run("--once") == 0, run.text()
        assert sorted(lines_of(run)) == sorted(told(number, raw) for number, raw in enumerate(raws))
        assert files(run.directory) == []


def test_a_suspect_is_fetched_once_more_and_its_first_draft_leaves_nothing(inbox, tmp_path) -> None:
    raws = [large_mail(number, 300_000) for number in range(2)]
    inbox.add(*raws)
    store = Counting(tmp_path / "blobs")
    store.prepare()
    account = Account(name="sim", host="127.0.0.1", port=inbox.server.port, tls="off", user="u", password="p")
    with closing(Connection(account, 10.0, 1 << 20, large=Large(INLINE, store))) as source:
        source.examine("INBOX")
        # The second is the last of the answer and has the words of a response in it: it may go on behind it.
        names = {}
        for mail in source.fetch(Window(1, 2)):
            assert mail.swallows
            names[mail.uid] = f"fmi-{'0' * 16}/{mail.content_hash.hex()}"
            mail.draft.commit(names[mail.uid])
    assert store.begun == 3
    for uid, name in names.items():
        with store.open(name) as file:
            assert file.read() == raws[uid - 1]
    assert sum(path.is_file() for path in (tmp_path / "blobs").rglob("*")) == 2


class Counting(BlobDirectory):
    begun = 0

    def begin(self) -> FileDraft:
        self.begun += 1
        return super().begin()


def test_blobs_take_no_descriptors_for_good(tmp_path) -> None:
    store = BlobDirectory(tmp_path)
    store.prepare()
    drafts = [store.begin() for _ in range(20)]
    threads = [
        threading.Thread(target=draft.commit, args=(f"fmi-{'0' * 16}/{n:032x}",))
        for n, draft in enumerate(drafts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Only those in the store: a test before this one may have left some that end meanwhile.
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert [link for link in links if str(tmp_path) in os.path.realpath(link)] == []
    assert len(list(store.stored(f"fmi-{'0' * 16}"))) == 20


def test_an_orphan_is_swept_and_a_needed_blob_is_not(supervised, inbox, redis_server) -> None:
    raws = [large_mail(number, 300_000) for number in range(2)]
    inbox.add(*raws)
    waiting = "\n\nfrom fastmail_ingest import Retry\n\ndef handle(email):\n    raise Retry(after=3600)\n"
    run = supervised(waiting)
    assert run.run("--once") == 0
    store = BlobDirectory(run.directory / "fastmail-ingest-blobs")
    books = Ledger(redis_server.url, "", Arguments(Keys("fmi"), 90)).blobs
    orphan = store.begin()
    orphan.commit(blob_name(books.space(), b"of a worker that died after it had settled"))
    for path in files(run.directory):
        os.utime(path, (path.stat().st_mtime - 5 * 3600,) * 2)
    orphans = Orphans(books, store)
    orphans.look(100_000.0)
    assert len(files(run.directory)) == 3
    orphans.look(100_000.0 + ORPHANED_S)
    assert {path.stat().st_size for path in files(run.directory)} == {300_000}
    assert len(files(run.directory)) == 2
    redis_server.client().flushall()
    for later in range(2, 9):  # an emptied database is not the one whose blobs these are
        orphans.look(100_000.0 + later * ORPHANED_S)
    assert len(files(run.directory)) == 2
