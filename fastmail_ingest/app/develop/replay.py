"""`replay-eml`: single mails through the handler, with a picture of what it got and what it did."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.text import Text

from fastmail_ingest.app.develop.overheard import overheard
from fastmail_ingest.app.operate import words
from fastmail_ingest.config import Config
from fastmail_ingest.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from fastmail_ingest.handler.chain import load
from fastmail_ingest.handler.modules import search_paths
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import Envelope
from fastmail_ingest.testing.outcome import Outcome, trimmed
from fastmail_ingest.testing.run_handler import envelope_of, read_eml, run_trial, within
from fastmail_ingest.testing.trial import Mail, Trial

STDIN = Path("-")
_ACCOUNT = "eml"  # where the configuration does not say whose mail it would be
_MAILBOX = "INBOX"
_DEAF = (
    "hung: the handler is not finished after handler.timeout, and catches whatever interrupts it; under "
    "supervise its worker is killed. remedy: except Exception, not except: or except BaseException"
)
_STYLES = {"done": "green", "retry": "yellow", "rejected": "yellow", "failed": "red"}


class ReplayOrder(msgspec.Struct, frozen=True):
    """What is asked for.

    Without `handlers` those of the configuration, without `id` one that is made of the content.
    """

    files: Sequence[Path]
    handlers: Sequence[str] = ()
    attempt: int = 1
    id: str = ""


def replay(config: Config, config_path: Path | None, order: ReplayOrder, *, as_json: bool) -> int:
    """Give each file's mail to the handler and print what became of it; returns the exit code.

    Raises ConfigError for a file that cannot be read and for settings that a handler in the box cannot use,
    HandlerLoadError for what is no handler.
    """
    if order.handlers:
        section = msgspec.structs.replace(config.handler, handlers=list(order.handlers))
        config = msgspec.structs.replace(config, handler=section)
    report = _Report() if as_json else _Words()

    def mails() -> Iterator[Mail]:
        for file, envelope in zip(order.files, envelopes, strict=True):
            mail = Mail(envelope, order.attempt)
            report.begin(_name(file), facts(Email(envelope, mail.attempt)))
            yield mail

    out = sys.stderr

    def deaf() -> None:
        print(_DEAF, file=out)
        _leave(EXIT_FAILURE)

    envelopes = [_envelope(config, order, file) for file in order.files]
    with overheard(sys.stderr if as_json else sys.stdout, config.logging.level, report.log):
        trial = Trial(load(config, search_paths(config_path)), config, deaf=deaf)
        error = run_trial(trial, mails(), report.end)
    if isinstance(error, ConfigError):  # to try it again, as a worker does, would be no use
        raise error
    report.finish(config.handler.targets, error)
    code = EXIT_OK if error is None and report.not_done == 0 else EXIT_FAILURE
    if trial.abandoned:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End the process, whatever a handler has left running in it: its threads would be waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _name(file: Path) -> str:
    return "standard input" if file == STDIN else str(file)


def _envelope(config: Config, order: ReplayOrder, file: Path) -> Envelope:
    account = config.accounts[0].name if len(config.accounts) == 1 else _ACCOUNT
    max_mail = config.producer.max_mail
    if file == STDIN:
        raw = within(_name(file), sys.stdin.buffer.read(max_mail + 1), max_mail)
    else:
        raw = read_eml(file, max_mail)
    envelope = envelope_of(raw, account, _MAILBOX)
    return msgspec.structs.replace(envelope, id=order.id) if order.id else envelope


def facts(email: Email) -> dict[str, object]:
    """What the handler gets, in short."""
    return {
        "id": email.id,
        "attempt": email.attempt,
        "sender": email.sender,
        "sender_name": email.sender_name,
        "subject": email.subject,
        "size": email.size,
        "text_chars": len(email.text),
        "html_chars": len(email.html),
        "attachments": [
            {"filename": each.filename, "content_type": each.content_type, "size": each.size}
            for each in email.attachments
        ],
        "defects": [str(defect) for defect in email.defects],
    }


class _Report:
    """One JSON object at the end."""

    def __init__(self) -> None:
        self._mails: list[dict[str, object]] = []
        self._log: list[str] = []
        self.not_done = 0

    def begin(self, name: str, found: dict[str, object]) -> None:
        """A mail is about to be given to the handler."""
        self._mails.append({"file": name, **found})
        self._log = []

    def log(self, line: str) -> None:
        """The handler logged something."""
        self._log.append(line)

    def end(self, outcome: Outcome) -> None:
        """That became of the mail."""
        self.not_done += not outcome.done
        self._mails[-1] |= {
            "outcome": outcome.status,
            "reason": outcome.reason,
            "next": outcome.next,
            "after_s": outcome.after_s,
            "seconds": round(outcome.seconds, 6),
            "traceback": outcome.traceback,
            "log": self._log,
        }
        self._log = []

    def finish(self, targets: Sequence[str], error: Exception | None) -> None:
        """All are through, or startup failed with `error`."""
        failed = "" if error is None else trimmed(error)
        words.say_json({"handler": list(targets), "startup_failed": failed, "mails": self._mails})


class _Words(_Report):
    """Lines for a human, as things happen."""

    def __init__(self) -> None:
        super().__init__()
        self._console = words.console()
        self._console.file = sys.stdout  # whatever is put in its place while the handler runs
        self._count = 0

    def begin(self, name: str, found: dict[str, object]) -> None:
        if self._count:
            self._say("")
        self._count += 1
        self._say(name, "bold")
        for label, text in _described(found):
            self._say(f"  {label:<11}{words.clean(text)}")

    def log(self, line: str) -> None:
        self._say(line)

    def end(self, outcome: Outcome) -> None:
        self.not_done += not outcome.done
        self._say(outcome.summary, _STYLES[outcome.status])
        if not outcome.done:
            self._say(f"  after {outcome.seconds:.3f} s")
        if outcome.failed and outcome.traceback:
            self._say(outcome.traceback)

    def finish(self, targets: Sequence[str], error: Exception | None) -> None:
        if error is not None:
            self._say("startup failed: a worker takes no mail and tries it again", "red")
            self._say(trimmed(error))
        elif self._count > 1:
            self._say(f"\n{self._count} mails: {self._count - self.not_done} done, {self.not_done} not")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(words.clean_lines(text), style=style), soft_wrap=True)


def _described(found: dict[str, object]) -> Iterator[tuple[str, str]]:
    yield "id", f"{found['id']} (attempt {found['attempt']})"
    name = f"{found['sender_name']} " if found["sender_name"] else ""
    yield "from", f"{name}<{found['sender']}>" if found["sender"] else "nobody that can be read"
    yield "subject", str(found["subject"] or "(none)")
    yield (
        "size",
        f"{found['size']} bytes: {found['text_chars']} characters of text, {found['html_chars']} of html",
    )
    attachments, defects = found["attachments"], found["defects"]
    for each in attachments if isinstance(attachments, list) else ():
        yield "attachment", f"{each['filename'] or '(no name)'}, {each['content_type']}, {each['size']} bytes"
    for defect in defects if isinstance(defects, list) else ():
        yield "defect", str(defect)
