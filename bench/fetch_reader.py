"""How many mails of 18 KB does the FETCH reader alone take from a socket, over one connection?

    python bench/fetch_reader.py [--mails 2000] [--rounds 7] [--json]

A raw sender in another process plays a recorded answer; IMAPClient.fetch reads the same bytes, in turns with us.
`socket` reads them and looks at nothing: more than that is not to be had here. Rates are medians, by the clock;
CPU is that of the reading process alone.
"""

import argparse
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable

import apparatus
import msgspec
from imapclient import IMAPClient

from fastmail_ingest.simulator import Corpus, mixed
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.wire import WiredClient

ITEMS = "UID FLAGS INTERNALDATE BODY.PEEK[]"
MAX_MAIL = 1 << 26
TIMEOUT_S = 60.0
TARGET = 20_000
_ANSWERS = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
    "EXAMINE": b"* 9 EXISTS\r\n* OK [UIDVALIDITY 1] valid\r\n* OK [UIDNEXT 10] next\r\n",
}


class Measured(msgspec.Struct):
    """One reader: mails a second, and what it costs."""

    mails_per_s: float
    mbytes_per_s: float
    cpu_us_a_mail: float


def recording(mails: Corpus, count: int) -> bytes:
    """The untagged answers of a Dovecot to a FETCH of so many mails."""
    parts = []
    for number in range(1, count + 1):
        head, body = mails.render(number)
        line = b'* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE "07-Jul-2026 09:10:11 +0000" BODY[] {%d}\r\n'
        parts += [line % (number, number, len(head) + len(body)), head, body, b")\r\n"]
    return b"".join(parts)


def play(recorded: bytes, tell: Callable[[int], None]) -> None:
    """Serve just enough IMAP for a client to log in, and the recording to each FETCH."""
    listening = socket.create_server(("127.0.0.1", 0))
    tell(listening.getsockname()[1])
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_serve, args=(connection, recorded), daemon=True).start()


def _serve(connection: socket.socket, recorded: bytes) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"* OK ready\r\n")
    for line in connection.makefile("rb"):
        tag, command = line.decode().split(maxsplit=1)
        if "FETCH" in command:
            connection.sendall(recorded)
        else:
            connection.sendall(_ANSWERS.get(command.split()[0].upper(), b""))
        connection.sendall(f"{tag} OK done\r\n".encode())


class Ours:
    """The FETCH reader over its wire."""

    def __init__(self, port: int, count: int) -> None:
        self._client = WiredClient("127.0.0.1", port, None, TIMEOUT_S, TIMEOUT_S)
        self._client.login("u", "p")
        self._client.select_folder("INBOX", readonly=True)
        self._count = count

    def __call__(self) -> int:
        """Read all, return the bytes of the mails."""
        tag = self._client.send_command(f"UID FETCH 1:{self._count} ({ITEMS})")
        return sum(
            len(mail.raw or b"") for mail in read_fetch(self._client.wire, tag, MAX_MAIL, lambda _: None)
        )


class TheirClient:
    """IMAPClient.fetch."""

    def __init__(self, port: int, count: int) -> None:
        self._client = IMAPClient("127.0.0.1", port, ssl=False, timeout=TIMEOUT_S)
        self._client.login("u", "p")
        self._client.select_folder("INBOX", readonly=True)
        self._uids = list(range(1, count + 1))

    def __call__(self) -> int:
        """Read all, return the bytes of the mails."""
        mails = self._client.fetch(self._uids, ITEMS.split())
        return sum(len(mail[b"BODY[]"]) for mail in mails.values())


class NoReader:
    """Nothing but the socket."""

    def __init__(self, port: int, count: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.recv(1000)
        self._buffer = bytearray(512 * 1024)
        self._count = count

    def __call__(self) -> int:
        """Read all, return the bytes."""
        self._socket.sendall(b"x1 UID FETCH\r\n")
        total, end = 0, re.compile(rb"x1 OK done\r\n\Z")
        while True:
            count = self._socket.recv_into(self._buffer)
            total += count
            if end.search(self._buffer, max(0, count - 20), count):
                return total


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    recorded = recording(mixed(), options.mails)
    with apparatus.Aside(lambda tell: play(recorded, tell)) as sender:
        readers: dict[str, Callable[[], int]] = {
            "ours": Ours(sender.port, options.mails),
            "IMAPClient": TheirClient(sender.port, options.mails),
            "socket": NoReader(sender.port, options.mails),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for _ in range(options.rounds + 1):
            for name, reader in readers.items():
                begin, cpu = time.perf_counter(), time.process_time()
                if reader() < options.mails * 10_000:
                    raise SystemExit(f"{name}: mails are missing")
                taken[name].append((time.perf_counter() - begin, time.process_time() - cpu))
    results = {name: measured(times[1:], options.mails, len(recorded)) for name, times in taken.items()}
    ours = results["ours"]
    rows = [
        (name, f"{each.mails_per_s:,.0f}", f"{each.mbytes_per_s:,.0f}", f"{each.cpu_us_a_mail:.1f}")
        for name, each in results.items()
    ]
    title = (
        f"FETCH reader alone, {options.mails} mails, {len(recorded) / options.mails / 1024:.1f} KB mean: "
        f"{ours.mails_per_s / results['IMAPClient'].mails_per_s:.1f} times IMAPClient (target: {TARGET:,} mails/s)"
    )
    apparatus.show(title, ("reader", "mails/s", "MB/s", "CPU us a mail"), rows, results, options.json)


def measured(times: list[tuple[float, float]], mails: int, size: int) -> Measured:
    """The medians of some rounds."""
    seconds = statistics.median(wall for wall, _ in times)
    cpu = statistics.median(cpu for _, cpu in times)
    return Measured(mails / seconds, size / seconds / 1e6, cpu / mails * 1e6)


if __name__ == "__main__":
    main()
