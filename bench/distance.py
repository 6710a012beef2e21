"""How much of a line over a distance does fetching use: 50 ms there and back, 100 Mbit/s, one mailbox?

    python bench/distance.py [--mails 5000] [--runs 3] [--rtt-ms 50] [--mbit 100] [--tls] [--json]

A Dovecot with mails of 18 KB mean behind a `simulator.Link`. In turns: `supervise --once` with a handler that does
nothing, into a real Redis; `mbsync` (isync) into an empty Maildir, without fsync; both with and without compression
(RFC 4978, which mbsync uses by itself). The clock runs from the first FETCH of a body to the last byte that reaches
the client, both seen on the line (compressed: from the start of the program); `in all` is the whole life of the
program. The share is that of the mails' own bytes in what the line could carry; compressed, it may be more than
all of it. Everything shares this machine: the CPU column says who was busy.
Needs: apt install redis-server dovecot-imapd isync
"""

import argparse
import json
import mmap
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apparatus
import msgspec
import uvloop

from fastmail_ingest.simulator import Line, Link, mixed

sys.path.insert(0, str(apparatus.ROOT / "tests"))

from support.dovecot import PASSWORD, Dovecot
from support.redis_server import RedisServer

USER = "far"
COMPRESSION = """
protocol imap {
  mail_plugins = imap_zlib
}
"""
_FIRST, _LAST, _BYTES, _CONNECTIONS = range(4)

OURS = """
[[accounts]]
name = "far"
host = "127.0.0.1"
port = {port}
tls = "{tls}"
tls_ca_file = "{ca}"
user = "far"
password = "{password}"
{more}
[redis]
url = "{redis}"
[handler]
target = "noop"
[worker]
procs = 1
[logging]
level = "warning"
"""

MBSYNC = """
FSync no

IMAPAccount far
Host localhost
Port {port}
User far
Pass {password}
SSLType {ssl}
CertificateFile {ca}
AuthMechs LOGIN
{more}

IMAPStore far-remote
Account far

MaildirStore far-local
Path {base}/
Inbox {base}/INBOX

Channel far
Far :far-remote:
Near :far-local:
Patterns INBOX
Sync Pull
Create Near
SyncState *
"""


class Seen:
    """What the line saw of a run, in memory that its process shares with us."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 4096)).cast("d")
        self.reset()

    def reset(self) -> None:
        for at in (_FIRST, _LAST, _BYTES):
            self._numbers[at] = 0.0

    def __getitem__(self, at: int) -> float:
        return self._numbers[at]

    def __setitem__(self, at: int, value: float) -> None:
        self._numbers[at] = value


class WatchedLink(Link):
    """A link that notes the first FETCH of a body and the last byte of an answer."""

    def __init__(self, target: int, line: Line, seen: Seen) -> None:
        super().__init__(target, line)
        self._seen = seen

    def passing(self, to: int, pieces: Sequence[memoryview]) -> None:
        super().passing(to, pieces)
        now, seen = time.monotonic(), self._seen
        seen[_CONNECTIONS] = self.accepted
        if to == 0:
            seen[_BYTES] += sum(map(len, pieces))
            seen[_LAST] = now
        elif not seen[_FIRST] and any(b"BODY" in bytes(piece) for piece in pieces):
            seen[_FIRST] = now


class Measured(msgspec.Struct):
    """One run of one program."""

    seconds: float  # first FETCH of a body to the last byte; for what is not readable: all
    all_s: float
    mails_per_s: float
    share: float
    line_mbytes: float  # carried to the client
    connections: int
    cpu_s: dict[str, float]


class Scene:
    """Servers, line, mails."""

    def __init__(self, mails: int, line: Line, tls: bool) -> None:
        self.line, self.tls, self.count = line, tls, mails
        self.seen = Seen()
        self.directory = Path(tempfile.mkdtemp(prefix="fmi-distance-"))
        redis_binary = apparatus.need("redis-server", "redis-server")
        self.mbsync_binary = apparatus.need("mbsync", "isync")
        self.dovecot = Dovecot(apparatus.need("dovecot", "dovecot-imapd"), COMPRESSION)
        self.redis = RedisServer(redis_binary, appendfsync="everysec")
        self.payload = fill(self.dovecot, mails)
        self.link = apparatus.Aside(self._serve)

    def _serve(self, tell: Callable[[int], None]) -> None:
        uvloop.run(self._carry(tell))

    async def _carry(self, tell: Callable[[int], None]) -> None:
        import asyncio  # noqa: PLC0415

        target = self.dovecot.tls_port if self.tls else self.dovecot.port
        link = WatchedLink(target, self.line, self.seen)
        await link.start()
        tell(link.port)
        await asyncio.Event().wait()

    def close(self) -> None:
        self.link.__exit__(None, None, None)
        self.redis.close()
        self.dovecot.close()
        shutil.rmtree(self.directory)

    # --- the programs ------------------------------------------------------------------------------

    def ours(self, more: str = "") -> Measured:
        """`supervise --once` into an empty Redis."""
        self.redis.client().flushall()
        config = self.directory / "supervisor.toml"
        config.touch(mode=0o600)
        config.write_text(
            OURS.format(
                port=self.link.port, tls="on" if self.tls else "off", password=PASSWORD, more=more,
                ca=self.dovecot.certificate if self.tls else "", redis=self.redis.url,
            )
        )  # fmt: skip
        words = [sys.executable, "-m", "fastmail_ingest", "supervise", "--config", str(config), "--once"]
        measured = self._measure("ours", words)
        if (remembered := self._remembered(config)) != self.count:
            raise SystemExit(f"{remembered} of {self.count} mails are in the ledger")
        return measured

    def _remembered(self, config: Path) -> int:
        words = [sys.executable, "-m", "fastmail_ingest", "ledger", "show", "--json", "--config", str(config)]
        shown = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
        return int(shown["handled"])

    def mbsync(self, more: str = "") -> Measured:
        """`mbsync --pull` into an empty Maildir."""
        base = self.directory / "maildir"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        config = self.directory / "mbsyncrc"
        config.write_text(
            MBSYNC.format(
                port=self.link.port, password=PASSWORD, ssl="IMAPS" if self.tls else "None", base=base,
                ca=self.dovecot.certificate, more=more,
            )
        )  # fmt: skip
        measured = self._measure("mbsync", [self.mbsync_binary, "-c", str(config), "far"])
        found = sum(1 for each in (base / "INBOX").glob("[cn]*/*"))
        if found != self.count:
            raise SystemExit(f"mbsync has {found} of {self.count} mails")
        return measured

    def _measure(self, name: str, words: list[str]) -> Measured:
        servers = {
            "dovecot": self.dovecot.process.pid, "line": self.link.pid, "redis": self.redis.process.pid
        }  # fmt: skip
        self.seen.reset()
        before = {each: apparatus.cpu_s(pid) for each, pid in servers.items()}
        connections, begin = self.seen[_CONNECTIONS], time.monotonic()
        ran = apparatus.run(words, self.directory, self.directory / "log")
        cpu = {each: round(apparatus.cpu_s(pid) - before[each], 2) for each, pid in servers.items()}
        seconds = self.seen[_LAST] - (self.seen[_FIRST] or begin)
        return Measured(
            seconds=seconds,
            all_s=ran.seconds,
            mails_per_s=self.count / seconds,
            share=self.payload / seconds / self.line.bytes_per_s,
            line_mbytes=self.seen[_BYTES] / 1e6,
            connections=int(self.seen[_CONNECTIONS] - connections),
            cpu_s={"program": round(ran.cpu_s, 2), **cpu},
        )


def fill(dovecot: Dovecot, count: int) -> int:
    """Put mails into the INBOX, as files; have Dovecot index them. Returns their bytes."""
    maildir = dovecot.base / "mail" / USER / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    mails, total = mixed(), 0
    for number in range(count):
        raw = b"".join(mails.render(number))
        size = len(raw)
        (maildir / "cur" / f"1735689600.M{number:06d}.bench,S={size},W={size}:2,").write_bytes(raw)
        total += size
    owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    for path in (maildir.parent, *maildir.parent.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    client = dovecot.client(USER)
    client.select_folder("INBOX", readonly=True)
    sizes = client.fetch(list(range(1, count + 1)), ["RFC822.SIZE"])
    client.logout()
    if sum(each[b"RFC822.SIZE"] for each in sizes.values()) != total:
        raise SystemExit("Dovecot has other mails than were put into it")
    return total


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rtt-ms", type=float, default=50.0)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--tls", action="store_true", help="implicit TLS, as over the internet")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    line = Line(options.rtt_ms / 2000, options.mbit * 1e6 / 8)
    scene = Scene(options.mails, line, options.tls)
    programs: dict[str, Callable[[], Measured]] = {
        "ours": scene.ours,
        "ours, compressed": lambda: scene.ours("compress = true"),
        "mbsync": lambda: scene.mbsync("DisableExtension COMPRESS=DEFLATE"),
        "mbsync, compressed": scene.mbsync,
    }
    results: dict[str, list[Measured]] = {name: [] for name in programs}
    try:
        for _ in range(options.runs):
            for name, program in programs.items():
                results[name].append(program())
                sys.stderr.write(f"{name}: {results[name][-1].share:.1%}\n")
    finally:
        scene.close()
    rows = [_row(name, runs) for name, runs in results.items()]
    title = (
        f"{options.mails} mails, {scene.payload / 1e6:.0f} MB, {options.rtt_ms:.0f} ms round trip, "
        f"{options.mbit:.0f} Mbit/s, {'TLS' if options.tls else 'no TLS'}; medians of {options.runs}"
    )
    header = (
        "program",
        "share of the line",
        "mails/s",
        "s",
        "in all, s",
        "MB over the line",
        "conn.",
        "CPU s",
    )
    apparatus.show(title, header, rows, results, options.json)


def _row(name: str, runs: list[Measured]) -> tuple[str, ...]:
    def middle(of: Callable[[Measured], float]) -> float:
        return statistics.median(of(each) for each in runs)

    cpu = ", ".join(f"{who} {middle(lambda run, who=who: run.cpu_s[who]):.1f}" for who in runs[0].cpu_s)
    return (
        name, f"{middle(lambda run: run.share):.1%}", f"{middle(lambda run: run.mails_per_s):,.0f}",
        f"{middle(lambda run: run.seconds):.2f}", f"{middle(lambda run: run.all_s):.2f}",
        f"{middle(lambda run: run.line_mbytes):.1f}", f"{middle(lambda run: run.connections):.0f}", cpu,
    )  # fmt: skip


if __name__ == "__main__":
    main()
