"""How to put a backup back by hand, for this very configuration."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fastmail_ingest.app.backup.check import Candidate
from fastmail_ingest.config import Config
from fastmail_ingest.errors import StreamUnavailable
from fastmail_ingest.stream.network_copy import client_words
from fastmail_ingest.stream.private_server import AOF_DIRECTORY
from fastmail_ingest.stream.server import find_binary
from fastmail_ingest.stream.snapshot import Snapshots


class Step(msgspec.Struct, frozen=True):
    """What to do, in words and in commands for a shell."""

    text: str
    commands: list[str] = []


def by_hand(config: Config, candidate: Candidate) -> list[Step]:
    """The steps, in their order."""
    steps = _given(config, candidate) if config.redis.url else _own(config, candidate)
    return [*steps, *_large_mails(config, candidate), _start()]


def _own(config: Config, candidate: Candidate) -> Iterator[Step]:
    if candidate.binary != (binary := find_binary()):
        yield Step(
            f"By hand it cannot be done: our server is {binary}, which does not read what "
            f"{candidate.facts.server} has written. `--force` brings it over."
        )
        return
    data_dir = Path(config.redis.data_dir)
    kept, files = data_dir / "before-restore", data_dir / AOF_DIRECTORY
    yield Step(f"Stop fastmail-ingest, and wait until it has ended: nobody else may use {data_dir}.")
    if files.exists():
        yield Step("Keep what is there.", [_shell("mkdir", kept), _shell("mv", files, kept)])
    yield Step(
        "Make the snapshot the beginning of the append-only file. As a dump.rdb it would be ignored, because "
        "our server keeps an append-only file.",
        _aof(candidate.path, files, "appendonly.aof"),
    )


def _given(config: Config, candidate: Candidate) -> Iterator[Step]:
    yield Step("Stop fastmail-ingest on all hosts.")
    settings = _settings(config)
    if not settings:
        yield Step(
            "The files of this Redis cannot be reached from here: `--force` sends it what is in the backup, "
            "while it runs. By hand it has to be done on its host, or with the means of its provider."
        )
        return
    directory = Path(settings["dir"])
    words, _ = client_words(config.redis.url, config.redis.password)
    yield Step(
        "Stop Redis without a last save. Think twice: by hand all that is in it goes back, what other "
        "programs keep there, too; `--force` puts back the keys of this prefix alone, while it runs. (If it "
        "has a password: REDISCLI_AUTH. If a service manager starts it again at once: let that one stop it.)",
        [_shell("redis-cli", *words, "SHUTDOWN", "NOSAVE")],
    )
    if settings["appendonly"] == "yes":
        files = directory / settings["appenddirname"]
        yield Step("Keep what is there.", [_shell("mv", files, f"{files}.before-restore")])
        yield Step(
            f"Make the snapshot the beginning of the append-only file: while that is on, Redis ignores "
            f"{settings['dbfilename']} at its start.",
            [*_aof(candidate.path, files, settings["appendfilename"]), _owned(directory, files)],
        )
    else:
        file = directory / settings["dbfilename"]
        kept = _shell("mv", file, f"{file}.before-restore")
        yield Step("Keep what is there.", [kept] if file.exists() else [])
        yield Step("Put the snapshot there.", [_shell("cp", candidate.path, file), _owned(directory, file)])
    yield Step("Start Redis, and wait until it has loaded all (INFO persistence: loading:0).")


def _settings(config: Config) -> dict[str, str]:
    """How the files of a given Redis are called, if it tells and they are here."""
    try:
        with Snapshots.of(config) as snapshots:
            names = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename")
            found = snapshots.settings(*names)
            here = snapshots.is_here() and Path(found.get("dir", "")).is_absolute()
            return found if here and Path(found["dir"]).is_dir() else {}
    except StreamUnavailable:
        return {}


def _owned(directory: Path, files: Path) -> str:
    """Redis must be able to write them."""
    return _shell("chown", "-R", f"--reference={directory}", files)


def _aof(snapshot: Path, directory: Path, name: str) -> list[str]:
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
