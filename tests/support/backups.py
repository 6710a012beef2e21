"""The commands `backup` and `restore` in processes of their own, and what a snapshot really holds."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from fastmail_ingest.blob.directory import BlobDirectory
from fastmail_ingest.model import envelope as codec
from fastmail_ingest.model.append import Append
from fastmail_ingest.model.blob import blob_name
from fastmail_ingest.model.entry import NewMail
from fastmail_ingest.model.identity import content_hash, content_key
from fastmail_ingest.model.mailbox import Cursor, MailboxKey
from fastmail_ingest.stream.blobs import Blobs
from fastmail_ingest.stream.keys import Keys
from fastmail_ingest.stream.ledger import Ledger
from fastmail_ingest.stream.private_server import PrivateServer
from fastmail_ingest.stream.scripts import Arguments
from fastmail_ingest.stream.server import OwnServer, find_binary
from support.operated import Operated
from support.waiting import wait_until

# Kills itself right before the step with the number in argv[1]: steps are what changes names on disk, starts a
# process or opens a file to write. Prints how many there were if it comes to its end.
DYING = """
import os, sys
left = int(sys.argv.pop(1))
STEPS = {"os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove", "os.symlink", "os.truncate", "os.utime",
         "subprocess.Popen"}
def step(event, args):
    global left
    if event in STEPS or (event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
import fastmail_ingest.app.backup.make, fastmail_ingest.app.backup.restore, fastmail_ingest.app.backup.show
from fastmail_ingest.cli.main import main
sys.addaudithook(step)
main()
"""


OWN_SERVER = """
import sys
from pathlib import Path
from fastmail_ingest.stream.server import OwnServer, find_binary
server = OwnServer(find_binary(), Path(sys.argv[1]))
server.prepare()
server.become()
"""


class Commands:
    """Runs `fastmail-ingest` in a directory with a supervisor.toml."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.code = 0
        self.out = self.err = ""

    def __call__(self, *words: str | Path) -> int:
        """Run it; its output is in `out` and `err`."""
        return self._run([sys.executable, "-m", "fastmail_ingest", *map(str, words)])

    def dying(self, step: int, *words: str | Path) -> bool:
        """Run it, killed by SIGKILL at its step of this number; False if it has fewer."""
        self._run([sys.executable, "-c", DYING, str(step), *map(str, words)])
        assert self.code in {0, -9}, self.err
        return self.code == -9

    def json(self, *words: str | Path) -> dict[str, Any]:
        self(*words, "--json")
        assert self.out, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found

    def backup(self) -> Path:
        """Make one; returns its snapshot."""
        found = self.json("backup")
        assert self.code == 0, self.err
        return Path(found["path"])

    def _run(self, command: list[str]) -> int:
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=100, check=False,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        return self.code


class OurOwn:
    """Our own server by itself, without a supervisor."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = OwnServer(find_binary(), data_dir).url

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    @contextmanager
    def running(self) -> Iterator[None]:
        server = OwnServer(find_binary(), self.data_dir)
        process = subprocess.Popen([sys.executable, "-c", OWN_SERVER, str(self.data_dir)])
        try:
            wait_until(server.answers, "our own server answers")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def append_large(directory: Path, stream: Operated, uid: int, content: bytes = b"large") -> str:
    """Append a mail whose bytes are in a blob of the usual directory; returns the blob's name."""
    identity, key = stream.identity(uid), MailboxKey("a", "INBOX")
    name = blob_name(Blobs(stream.client, stream.keys).space(), identity.encode())
    blobs = BlobDirectory(directory / "fastmail-ingest-blobs")
    blobs.prepare()
    draft = blobs.begin()
    draft.write(content)
    draft.commit(name)
    hashed = content_hash(identity.encode())
    envelope = codec.Envelope(
        version=codec.BLOB_VERSION, id=identity, account="a", mailbox="INBOX", uid_validity=7, uid=uid,
        flags=(), labels=(), thread_id="", internal_date=time.time(), size=len(content), content_hash=hashed,
        fetched_at=time.time(), trace_id="0" * 32, raw=content[:5], blob=name,
    )  # fmt: skip
    mail = NewMail(identity, content_key("a", hashed), codec.encode(envelope))
    stream.ledger.append(Append(key, [mail], Cursor(7, uid), stream.ledger.cursor(key)))
    return name


def states_in(snapshot: Path, binary: str, identities: Sequence[str]) -> dict[str, list[str]]:
    """Of the mails that a snapshot knows, which are queued and which are done."""
    with tempfile.TemporaryDirectory() as directory:
        server = PrivateServer(Path(binary), Path(directory), lambda: None, 30, lambda _: None)
        with server:
            server.start(snapshot)
            server.wait_until_loaded(lambda _: None)
            ledger = Ledger(server.url(), "", Arguments(Keys("fmi"), 90))
            found: dict[str, list[str]] = {}
            for identity, state in zip(identities, ledger.states(identities), strict=True):
                found.setdefault(state, []).append(identity)
            ledger.close()
    return found
