"""`run_handler`: one mail through a handler, as a worker would do it."""

import asyncio
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from email.message import Message
from pathlib import Path
from typing import TypeAlias

import uvloop

from fastmail_ingest.archive.normal import from_file
from fastmail_ingest.config import Config, load
from fastmail_ingest.errors import ConfigError, HandlerLoadError
from fastmail_ingest.handler import chain
from fastmail_ingest.handler.load import Handler, inspected
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import CODEC_VERSION, Envelope
from fastmail_ingest.model.identity import content_hash, identify_content
from fastmail_ingest.testing.outcome import Outcome
from fastmail_ingest.testing.trial import Mail, Trial

Eml: TypeAlias = str | os.PathLike[str] | bytes | Message
"""A mail: the path of a file, its bytes, or one that was made with the stdlib."""

# What a handler leaves running is cancelled and waited for; some of it cannot be ended.
_LAST_WAIT_S = 1.0


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

    `handler` is a function, an object, or a name as in the configuration ("shop:handle", "log"); a list of
    those is a chain. `timeout` (s) and the retry rules are those of the file `config`, else the defaults. No
    Redis is touched. `email.id` is made of account and content: the same for the same mail.

    Raises what `startup` raises (a worker would try it again, and take no mail meanwhile), StartupFailed if
    it takes longer than `timeout`, HandlerLoadError for what is no handler, ConfigError for a mail that
    cannot be read or is larger than `[producer] max_mail`. A sync handler that hangs can be interrupted in
    the main thread only.
    """
    path = Path(config) if config is not None else None
    settings = load(path, os.environ, require_accounts=False) if path is not None else Config()
    found = found_handler(handler, settings, path)
    mail = Mail(envelope_of(read_eml(eml, settings.producer.max_mail), account, mailbox, labels), attempt)
    outcomes: list[Outcome] = []
    if (error := run_trial(Trial(found, settings, timeout), [mail], outcomes.append)) is not None:
        raise error
    return outcomes[0]


def make_email(
    eml: Eml,
    *,
    attempt: int = 1,
    account: str = "test",
    mailbox: str = "INBOX",
    labels: tuple[str, ...] = (),
) -> Email:
    """An `Email` as a handler is given it, for a test of what the handler is made of.

    Raises ConfigError for a mail that cannot be read or is larger than `[producer] max_mail` is by default.
    """
    return Email(envelope_of(read_eml(eml, Config().producer.max_mail), account, mailbox, labels), attempt)


def run_trial(trial: Trial, mails: Iterable[Mail], tell: Callable[[Outcome], None]) -> Exception | None:
    """Run a trial on an event loop like a worker's; returns what startup raised, if it did."""
    if _a_loop_runs():
        raise RuntimeError(
            "run_handler has an event loop of its own, and here one is running already. "
            "remedy: call it from a plain def, or await asyncio.to_thread(run_handler, ...)"
        )
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(trial.run(mails, tell))
    finally:
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """As asyncio.run does, but what cannot be cancelled is not waited for."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=_LAST_WAIT_S))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def found_handler(handler: object, config: Config, config_path: Path | None) -> Handler:
    """The handler that is meant, or the chain of those in a list; raises HandlerLoadError."""
    members: Sequence[object] = handler if isinstance(handler, (list, tuple)) else [handler]
    if not members:
        raise HandlerLoadError("there is no handler in the list. remedy: name one or more")
    named = [_named(each, config, config_path) for each in members]
    return chain.chained(named, config.handler.threads)


def _named(handler: object, config: Config, config_path: Path | None) -> tuple[str, Handler]:
    if isinstance(handler, str):
        return handler, chain.load_named(handler, config, search_paths(config_path))
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    return name, inspected(name, handler)


def read_eml(eml: Eml, max_mail: int) -> bytes:
    """The bytes of a mail, wherever they are; raises ConfigError for more than `max_mail` of them, and for
    a file that cannot be read.
    """
    if isinstance(eml, bytes):
        return within("the mail", eml, max_mail)
    if isinstance(eml, Message):
        return within("the mail", eml.as_bytes(policy=eml.policy.clone(linesep="\r\n")), max_mail)
    try:
        # A pipe without a writer would keep us waiting at its opening.
        with open(eml, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(
                    f"{os.fspath(eml)} is no regular file. remedy: name a file with one mail in it; "
                    "replay-eml reads the mail from standard input if - is named"
                )
            return within(os.fspath(eml), file.read(max_mail + 1), max_mail)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"{os.fspath(eml)}: {said}. remedy: name a file with one mail in it") from error


def within(name: str, raw: bytes, max_mail: int) -> bytes:
    """The bytes themselves; raises ConfigError if they are more than `max_mail`."""
    if len(raw) > max_mail:
        raise ConfigError(
            f"{name} has more than {max_mail} bytes ([producer] max_mail): no handler is given it, it becomes"
            " a dead letter (too_large). remedy: raise max_mail, 500 MiB at the most"
        )
    return raw


def envelope_of(raw: bytes, account: str, mailbox: str, labels: tuple[str, ...] = ()) -> Envelope:
    """The mail as it would be in the stream, with the line ends that a mail server gives out."""
    raw = from_file(raw, len(raw), 0, 2 * len(raw) + 1).raw
    hashed = content_hash(raw)
    return Envelope(
        version=CODEC_VERSION, id=identify_content(account, hashed), account=account, mailbox=mailbox,
        uid_validity=1, uid=1, flags=(), labels=labels, thread_id="", internal_date=0.0, size=len(raw),
        content_hash=hashed, fetched_at=time.time(), trace_id=uuid.uuid4().hex, raw=raw,
    )  # fmt: skip
