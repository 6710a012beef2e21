"""Where log lines are written, the same ones not too often: see policy.repeats."""

import logging
import re
import threading
import time
from typing import NamedTuple, TextIO

from fastmail_ingest.model.scope import current
from fastmail_ingest.policy.repeats import HeldBack, RepeatRule, Repeats
from fastmail_ingest.telemetry.lines import message

RULE = RepeatRule()
# Ours, and those of libraries that work for us. What a handler logs is for its author to decide.
_LIMITED = ("fastmail_ingest.", "opentelemetry.", "asyncio")
# Deaths, the drain and its report: the supervisor's own lines are few, and each is news. "handler" writes a
# line a mail because somebody wants just that.
_EXEMPT = ("fastmail_ingest.supervisor.", "fastmail_ingest.app.supervise", "fastmail_ingest.handler")
_PLACEHOLDER = re.compile(r"%[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]")
_KIND_CHARS = 200
_RETRY_S = 1.0


class Kind(NamedTuple):
    """What makes lines alike. Those about an account, but no single mail of it, are so for each account."""

    logger: str
    level: int
    text: str
    account: str
    mailbox: str


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; holds back what repeats, and tells how much that was.

    It is locked as all of logging's handlers are, forks included.
    """

    def __init__(self, stream: TextIO, rule: RepeatRule = RULE) -> None:
        super().__init__(stream)
        self._repeats: Repeats[Kind] = Repeats(rule)
        self._teller: threading.Thread | None = None
        self.may_start_threads = False  # a process that forks must not
        self._closing = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        now = time.monotonic()
        self._tell(now)
        if (kind := kind_of(record)) is None or self._repeats.passes(kind, now):
            super().emit(record)
        elif self.may_start_threads and self._teller is None:
            # Somebody must tell it, also if nothing more is ever logged.
            self._teller = threading.Thread(target=self._tell_in_time, name="held-back", daemon=True)
            self._teller.start()

    def _tell(self, now: float) -> None:
        for held in self._repeats.ended(now):
            super().emit(summary(held))

    def _tell_in_time(self) -> None:
        while True:
            with self.lock:  # type: ignore[union-attr] # there is one, see logging.Handler.createLock
                now = time.monotonic()
                self._tell(now)
                wait_s = self._repeats.next_end_s(now)
                if wait_s is None:
                    self._teller = None
                    return
            if self._closing.wait(wait_s):
                return

    def tell_all(self) -> None:
        """Tell what was held back until now: this process ends."""
        self._closing.set()
        with self.lock:  # type: ignore[union-attr]
            for held in self._repeats.close(time.monotonic()):
                super().emit(summary(held))


def kind_of(record: logging.LogRecord) -> Kind | None:
    """What a record is one more of; None for one that is written in any case."""
    name = record.name
    if record.levelno < logging.INFO or not name.startswith(_LIMITED) or name.startswith(_EXEMPT):
        return None
    text = str(record.msg)
    if not _PLACEHOLDER.sub("", text).strip():
        text = message(record)  # "%s" says nothing of what it is
    scope = current()
    single = getattr(record, "correlation_id", None) or scope.correlation_id
    about = ("", "") if single else (scope.account, scope.mailbox)
    return Kind(name, record.levelno, text[:_KIND_CHARS], *about)


def summary(held: HeldBack[Kind]) -> logging.LogRecord:
    """The one line for many, with their number in `held_back`."""
    kind = held.kind
    like = _PLACEHOLDER.sub("…", kind.text).replace("%%", "%")
    text = "… %d more like this in the last %.0f s: %s"
    made = logging.LogRecord(kind.logger, kind.level, "", 0, text, (held.count, held.seconds, like), None)
    made.__dict__.update(held_back=held.count, account=kind.account, mailbox=kind.mailbox)
    return made
