"""`replay-eml`: single mails through the handler, with a picture of what it got and what it did."""

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
from fastmail_ingest.testing.outcome import Outcome, trimmed
from fastmail_ingest.testing.run_handler import envelope_of, read_eml, run_trial, with_target
from fastmail_ingest.testing.trial import Mail, Trial

STDIN = Path("-")
_ACCOUNT = "eml"  # where the configuration does not say whose mail it would be
_MAILBOX = "INBOX"
_STYLES = {"done": "green", "retry": "yellow", "rejected": "yellow", "failed": "red"}


class ReplayOrder(msgspec.Struct, frozen=True):
    """What is asked for; an empty `handler` is that of the configuration."""

    files: Sequence[Path]
    handler: str = ""
    attempt: int = 1


def replay(config: Config, config_path: Path | None, order: ReplayOrder, *, as_json: bool) -> int:
    """Give each file's mail to the handler and print what became of it; returns the exit code.

    Raises ConfigError for a file that cannot be read and for settings that a handler in the box cannot use,
    HandlerLoadError for what is no handler.
    """
    if order.handler:
        config = with_target(config, order.handler)
    targets = config.handler.targets
    account = config.accounts[0].name if len(config.accounts) == 1 else _ACCOUNT
    envelopes = [envelope_of(_read(file), account, _MAILBOX) for file in order.files]
    report = _Report() if as_json else _Words()

    def mails() -> Iterator[Mail]:
        for file, envelope in zip(order.files, envelopes, strict=True):
            mail = Mail(envelope, order.attempt)
            report.begin(
                "standard input" if file == STDIN else str(file), facts(Email(envelope, mail.attempt))
            )
            yield mail

    with overheard(sys.stderr if as_json else sys.stdout, config.logging.level, report.log):
        trial = Trial(load(config, search_paths(config_path)), config)
        error = run_trial(trial, mails(), report.end)
    if isinstance(error, ConfigError):  # to try it again, as a worker does, would be no use
        raise error
    report.finish(targets, error)
    return EXIT_OK if error is None and report.not_done == 0 else EXIT_FAILURE


def _read(file: Path) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return read_eml(file)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}. remedy: name a file with one mail in it") from error


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
