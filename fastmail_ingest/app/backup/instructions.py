"""How to put a backup back by hand, for this very configuration."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.config import Config
from fastmail_ingest.stream.private_server import AOF_DIRECTORY


class Step(msgspec.Struct, frozen=True):
    """What to do, in words and in commands for a shell."""

    text: str
    commands: list[str] = []


def by_hand(config: Config, candidate: Candidate) -> list[Step]:
    """The steps, in their order."""
    return [*_own(config, candidate), *_large_mails(config, candidate), _start()]


def _own(config: Config, candidate: Candidate) -> Iterator[Step]:
    data_dir = Path(config.redis.data_dir)
    kept, files = data_dir / "before-restore", data_dir / AOF_DIRECTORY
    yield Step(f"Stop fastmail-ingest, and wait until it has ended: nobody else may use {data_dir}.")
    if files.exists():
        yield Step("Keep what is there.", [_shell("mkdir", kept), _shell("mv", files, kept)])
    yield Step(
        "Make the snapshot the beginning of the append-only file. As a dump.rdb it would be ignored, because "
        "our server keeps an append-only file.",
        aof_commands(candidate.path, files, "appendonly.aof"),
    )


def aof_commands(snapshot: Path, directory: Path, name: str) -> list[str]:
    """Make an append-only file that begins with a snapshot (Redis >= 7.0 and Valkey, multi-part AOF)."""
    base = f"{name}.1.base.rdb"
    manifest = shlex.quote(str(directory / f"{name}.manifest"))
    return [
        _shell("mkdir", "-p", "-m", "700", directory),
        _shell("cp", snapshot, directory / base),
        f"echo {shlex.quote(f'file {base} seq 1 type b')} > {manifest}",
    ]


def _large_mails(config: Config, candidate: Candidate) -> Iterator[Step]:
    if candidate.manifest is None or not candidate.blobs:
        return
    directory = Path(config.blobs.directory) / candidate.manifest.blob_space
    source = next(iter(candidate.blobs.values())).parent
    yield Step(
        "Put the large mails where they are looked for; what is there is the same.",
        [_shell("mkdir", "-p", "-m", "700", directory), _shell("cp", "-n", "-R", f"{source}/.", directory)],
    )


def _start() -> Step:
    return Step(
        "Start fastmail-ingest. It gives back what workers held then, and mends the books if need be.",
        ["fastmail-ingest supervise"],
    )


def _shell(*words: str | Path) -> str:
    return shlex.join(map(str, words))
