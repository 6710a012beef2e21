"""`start`: a supervisor in the background, in a session of its own, and the wait until it is ready."""

import os
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastmail_ingest.app.daemon.stop import is_alive
from fastmail_ingest.errors import EXIT_OK, EXIT_UNAVAILABLE, ConfigError
from fastmail_ingest.supervisor.notify import SOCKET_VARIABLE
from fastmail_ingest.supervisor.pid_file import Written

_DATAGRAM_BYTES = 4096
_LINES_SHOWN = 15
_SIGNALLED = 128  # as shells say it: 128 + the signal's number


@dataclass(frozen=True)
class Start:
    """What is to be started: `words` follow `fastmail-ingest supervise`."""

    words: Sequence[str]
    pid_file: Path
    log_file: Path
    timeout_s: float


def start(plan: Start) -> int:
    """Start it, wait until it is ready, say how that went; returns the exit code, its own if it ended."""
    running = Written.read(plan.pid_file)
    if running is not None and is_alive(running):
        _say(f"fastmail-ingest is running already (pid {running.pid})")
        return EXIT_OK
    began = time.monotonic()
    with _ear() as (ear, address), _opened(plan.log_file) as log:
        logged_before = os.fstat(log).st_size
        process = _spawn(plan, log, address)
        ready, status = _heard_ready(ear, process, began + plan.timeout_s)
    if ready:
        took = f"ready after {time.monotonic() - began:.1f} s"
        _say(f"fastmail-ingest has started (pid {process.pid}), {took}; its log is {plan.log_file}")
        return EXIT_OK
    if process.returncode is None:
        said = f" ({status})" if status else ""
        _say(
            f"fastmail-ingest (pid {process.pid}) is not ready after {plan.timeout_s:.0f} s{said}, and goes "
            f"on. remedy: {plan.log_file} says what it waits for"
        )
        return EXIT_UNAVAILABLE
    for line in _end_of(plan.log_file, logged_before):
        print(line, file=sys.stderr)  # noqa: T201 - what a human reads
    _say(f"fastmail-ingest has ended again; all that it said is in {plan.log_file}")
    return process.returncode if process.returncode > 0 else _SIGNALLED - process.returncode


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


@contextmanager
def _ear() -> Iterator[tuple[socket.socket, str]]:
    """A socket that nobody else can speak to, and its address."""
    with (
        tempfile.TemporaryDirectory(prefix="fmi-start-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        address = str(Path(directory) / secrets.token_hex(4))
        ear.bind(address)
        yield ear, address


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The log, to be written behind what is there; it names senders and subjects: for its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"--log-file: cannot write {path}: {error.strerror}. "
            "remedy: name a file in a directory that you may write to"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _spawn(plan: Start, log: int, address: str) -> subprocess.Popen[bytes]:
    words = ["supervise", "--pid-file", str(plan.pid_file), *plan.words]
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "fastmail_ingest", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, SOCKET_VARIABLE: address},
    )


def _heard_ready(ear: socket.socket, process: subprocess.Popen[bytes], until: float) -> tuple[bool, str]:
    """Whether it said READY=1 before its end and before `until`, and what it said last of how it stands."""
    status = ""
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ear, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while (left_s := until - time.monotonic()) > 0:
                found = {key.fileobj for key, _ in selector.select(left_s)}
                if ear in found:
                    states = ear.recv(_DATAGRAM_BYTES).decode("utf-8", "replace").splitlines()
                    if "READY=1" in states:
                        return True, status
                    said = [each.partition("=")[2] for each in states if each.startswith("STATUS=")]
                    status = said[-1] if said else status
                elif ended in found:
                    process.wait()
                    break
    finally:
        os.close(ended)
    return False, status


def _end_of(log_file: Path, start: int) -> list[str]:
    with log_file.open("rb") as log:
        log.seek(start)
        return log.read().decode("utf-8", "replace").splitlines()[-_LINES_SHOWN:]
