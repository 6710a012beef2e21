"""A snapshot over the network: the server sends it as to a replica, to its own client (`redis-cli --rdb`)."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import redis.connection

from fastmail_ingest.errors import BackupError
from fastmail_ingest.stream.connect import redacted
from fastmail_ingest.stream.snapshot import HOSTED, Wait

_LOOK_EVERY_S = 0.05
_CLIENTS = ("redis-cli", "valkey-cli")


def copy_over_network(url: str, password: str, target: Path, deadline_s: float, wait: Wait) -> None:
    """Have a snapshot sent as to a replica, into the new file `target`.

    Raises BackupError with the reason.
    """
    client = next(filter(None, map(shutil.which, _CLIENTS)), None)
    if client is None:
        raise BackupError(
            f"the files of Redis at {redacted(url)} cannot be read from here, and there is no "
            f"{' or '.join(_CLIENTS)} on PATH to copy them over the network. remedy: install it (apt install "
            "redis-tools), or run the backup on the host of Redis as a user who may read its files"
        )
    words, secret = client_words(url, password)
    environment = os.environ | ({"REDISCLI_AUTH": secret} if secret else {})
    process = subprocess.Popen(  # noqa: S603 - our own command; the password is in no argument
        [client, *words, "--rdb", str(target)],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        umask=0o077, start_new_session=True,  # Ctrl-C is for us
    )  # fmt: skip
    try:
        said = _outcome(process, time.monotonic() + deadline_s, wait)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0 or not target.exists():
        last = said.strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        raise BackupError(f"{client} could not copy the snapshot: {last}. {HOSTED}")


def _outcome(process: "subprocess.Popen[bytes]", end: float, wait: Wait) -> str:
    while process.poll() is None:
        if time.monotonic() > end:
            raise BackupError(
                "the copy over the network was not finished in time. remedy: raise [backup] timeout"
            )
        wait(_LOOK_EVERY_S)
    return process.stdout.read().decode("utf-8", "replace") if process.stdout is not None else ""


def client_words(url: str, password: str) -> tuple[list[str], str]:
    """Arguments for redis-cli, and the password, which goes into its environment."""
    options: dict[str, Any] = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]
    words: list[str] = []
    if "path" in options:
        words += ["-s", str(options["path"])]
    else:
        words += ["-h", str(options.get("host", "localhost")), "-p", str(options.get("port", 6379))]
    if options.get("username"):
        words += ["--user", str(options["username"])]
    if url.startswith("rediss:"):
        words.append("--tls")
        if options.get("ssl_ca_certs"):
            words += ["--cacert", str(options["ssl_ca_certs"])]
        if options.get("ssl_cert_reqs") == "none":
            words.append("--insecure")
    return words, password or str(options.get("password") or "")
