"""Snapshot files of Redis and Valkey (RDB): what they say of themselves, and whether they are whole."""

import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from fastmail_ingest.errors import BackupError, UncheckedSnapshot

# "REDIS" with four digits, since Valkey 9 "VALKEY" with three.
_MAGIC = re.compile(rb"(REDIS\d{4}|VALKEY\d{3})")
_MAGIC_BYTES = 9
_AUX = re.compile(r"AUX FIELD (\S+) = '(.*)'")
_WHAT_IS_WRONG = re.compile(r"RDB ERROR DETECTED ---\s*\[offset (\d+)\] (.+)")
_INTERNAL = re.compile(r"Internal error in RDB reading offset \d+, function at \S+ -> (.+)")
_OF_ANOTHER = ("version", "signature")  # words of the complaint about another server's file


class RdbFacts(msgspec.Struct, frozen=True):
    """What a snapshot says of itself: the server that wrote it, as in `redis 7.0.15`, and when (epoch s)."""

    server: str
    saved_at: float


def check_rdb(path: Path, binary: Path, timeout_s: float) -> RdbFacts:
    """Read all of a snapshot with the server's own checker, which finds any change by its checksum.

    Raises BackupError that says what is wrong with it, UncheckedSnapshot if that cannot be told. The checker
    holds the largest key in memory, which is a whole lane.
    """
    magic = _magic_of(path)
    checker = binary.with_name(binary.name.replace("-server", "-check-rdb"))
    # A server's binary is its checker, too, when it is called so (main in its server.c).
    executable = checker if checker.exists() else binary
    command = ["redis-check-rdb", str(path)]
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command, executable=executable, capture_output=True, timeout=timeout_s, check=False,
            start_new_session=True,  # Ctrl-C is for us
            preexec_fn=expendable,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UncheckedSnapshot(
            f"{path} could not be checked within {timeout_s:g} s. remedy: raise [backup] timeout"
        ) from error
    if done.returncode < 0:
        raise UncheckedSnapshot(
            f"{path} could not be checked: {binary} was ended by signal {-done.returncode}, so nothing is "
            "known of it. remedy: see to the memory of this machine, and do it once more"
        )
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode > 0:
        raise _complaint(path, magic, binary, said)
    aux = dict(_AUX.findall(said))
    name = next((name for name in ("valkey", "redis") if f"{name}-ver" in aux), "?")
    return RdbFacts(f"{name} {aux.get(f'{name}-ver', '?')}", float(aux.get("ctime", 0)))


def expendable() -> None:
    """In a process that holds a copy of the mails for a moment: where memory ends, it ends, and not Redis."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def check_with_any(path: Path, binaries: Sequence[Path], timeout_s: float) -> tuple[Path, RdbFacts]:
    """The same with the first of these servers that can read it; returns which that was."""
    for binary in binaries[:-1]:
        try:
            return binary, check_rdb(path, binary, timeout_s)
        except UncheckedSnapshot:
            continue
    return binaries[-1], check_rdb(path, binaries[-1], timeout_s)


def _magic_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC_BYTES)
    except OSError as error:
        raise BackupError(
            f"{path} cannot be read: {error.strerror}. remedy: name a backup's .rdb file"
        ) from error
    if not head:
        raise BackupError(f"{path} is empty: it holds no backup. remedy: `fastmail-ingest backup --list`")
    if not _MAGIC.fullmatch(head):
        raise BackupError(
            f"{path} is no snapshot of Redis or Valkey: it does not begin like one. "
            "remedy: name a backup's .rdb file, see `fastmail-ingest backup --list`"
        )
    return head.decode()


def _complaint(path: Path, magic: str, binary: Path, said: str) -> BackupError:
    wrong = _WHAT_IS_WRONG.search(said)
    internal = _INTERNAL.search(said)
    words = wrong[2] if wrong else internal[1] if internal else said.strip().rpartition("\n")[2]
    if any(word in words for word in _OF_ANOTHER):
        return UncheckedSnapshot(
            f"{path} has the format {magic}, which {binary} cannot read ({words}): a newer or another server "
            "wrote it. remedy: put a redis-server or valkey-server of its kind on PATH"
        )
    where = f" at byte {wrong[1]}" if wrong else ""
    return BackupError(f"{path} is damaged or was cut off: {words}{where}. remedy: use another backup")
