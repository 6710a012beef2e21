"""`run_handler`: one mail through a handler, as a worker would do it."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterable
from email.message import Message
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvloop

from fastmail_ingest.archive.normal import from_file
from fastmail_ingest.config import Config, load
from fastmail_ingest.handler import chain
from fastmail_ingest.handler.load import Handler, inspected
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.model.envelope import CODEC_VERSION, Envelope
from fastmail_ingest.model.identity import content_hash, identify_content
from fastmail_ingest.testing.outcome import Outcome
from fastmail_ingest.testing.trial import Mail, Trial

Eml: TypeAlias = str | os.PathLike[str] | bytes | Message
"""A mail: the path of a file, its bytes, or one that was made with the stdlib."""


def run_handler(  # noqa: PLR0913 - one parameter a fact about the mail or the call
    handler: object,
    eml: Eml,
    *,
    attempt: int = 1,
    timeout: float | None = None,
    config: str | os.PathLike[str] | None = None,
    account: str = "test",
    mailbox: str = "INBOX",
    labels: tuple[str, ...] = (),
) -> Outcome:
    """Give one mail to a handler as a worker would, startup and shutdown included, and say what became of it.

    `handler` is a function, an object, or a name as in the configuration ("shop:handle", "log"). `timeout`
    (s) and the retry rules are those of the file `config`, else the defaults. No Redis is touched.
    `email.id` is made of account and content: the same for the same mail.

    Raises what `startup` raises (a worker would try it again, and take no mail meanwhile), HandlerLoadError
    for what is no handler. A sync handler that hangs can be interrupted in the main thread only.
    """
    path = Path(config) if config is not None else None
    settings = load(path, os.environ, require_accounts=False) if path is not None else Config()
    found = found_handler(handler, settings, path)
    mail = Mail(envelope_of(read_eml(eml), account, mailbox, labels), attempt)
    outcomes: list[Outcome] = []
    if (error := run_trial(Trial(found, settings, timeout), [mail], outcomes.append)) is not None:
        raise error
    return outcomes[0]


def run_trial(trial: Trial, mails: Iterable[Mail], tell: Callable[[Outcome], None]) -> Exception | None:
    """Run a trial on an event loop like a worker's; returns what startup raised, if it did."""
    if _a_loop_runs():
        raise RuntimeError(
            "run_handler has an event loop of its own, and here one is running already. "
            "remedy: call it from a plain def, or await asyncio.to_thread(run_handler, ...)"
        )
    return uvloop.run(trial.run(mails, tell))


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def found_handler(handler: object, config: Config, config_path: Path | None) -> Handler:
    """The handler that is meant; raises HandlerLoadError."""
    if not isinstance(handler, str):
        return inspected(getattr(handler, "__qualname__", type(handler).__qualname__), handler)
    return chain.load(with_target(config, handler), search_paths(config_path))


def with_target(config: Config, target: str) -> Config:
    """The configuration with this handler alone."""
    section = msgspec.structs.replace(config.handler, target=target, handlers=[])
    return msgspec.structs.replace(config, handler=section)


def read_eml(eml: Eml) -> bytes:
    """The bytes of a mail, wherever they are; raises OSError if a file cannot be read."""
    if isinstance(eml, bytes):
        return eml
    if isinstance(eml, Message):
        return eml.as_bytes(policy=eml.policy.clone(linesep="\r\n"))
    return Path(eml).read_bytes()


def envelope_of(raw: bytes, account: str, mailbox: str, labels: tuple[str, ...] = ()) -> Envelope:
    """The mail as it would be in the stream, with the line ends that a mail server gives out."""
    raw = from_file(raw, len(raw), 0, 2 * len(raw) + 1).raw
    hashed = content_hash(raw)
    return Envelope(
        version=CODEC_VERSION, id=identify_content(account, hashed), account=account, mailbox=mailbox,
        uid_validity=1, uid=1, flags=(), labels=labels, thread_id="", internal_date=0.0, size=len(raw),
        content_hash=hashed, fetched_at=time.time(), trace_id=uuid.uuid4().hex, raw=raw,
    )  # fmt: skip
