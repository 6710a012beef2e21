"""What became of one mail in a handler's hands, in words for a human."""

import sysconfig
import traceback
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from fastmail_ingest.model.email import Email

_OURS = Path(__file__).parent.parent
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STDLIB = Path(sysconfig.get_path("stdlib"))

Status: TypeAlias = Literal["done", "retry", "rejected", "failed"]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one mail: `status`, and what the retry policy would do `next`.

    `after_s` is in how many seconds the mail would come again; None if it would not. `reason` is what the
    handler gave as reason, or the exception's class and message. `email` is the one the handler was given.
    """

    status: Status
    email: Email
    seconds: float = 0.0
    reason: str = ""
    next: str = ""
    after_s: float | None = None
    exception: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether the handler returned: the mail is handled."""
        return self.status == "done"

    @property
    def retry(self) -> bool:
        """Whether the handler asked for another try (Retry, or a circuit breaker that is open)."""
        return self.status == "retry"

    @property
    def rejected(self) -> bool:
        """Whether the mail goes to the dead letters at once."""
        return self.status == "rejected"

    @property
    def failed(self) -> bool:
        """Whether the handler raised something else, or took too long."""
        return self.status == "failed"

    @property
    def traceback(self) -> str:
        """Where it was raised, in the user's own code; empty if nothing was."""
        return trimmed(self.exception) if self.exception is not None else ""

    @property
    def summary(self) -> str:
        """One line, if the exception's message has but one."""
        if self.done:
            return f"done in {self.seconds:.3f} s"
        return "; ".join(part for part in (f"{self.status}: {self.reason}", self.next) if part)

    def __str__(self) -> str:
        return f"{self.summary}\n{self.traceback}" if self.failed and self.traceback else self.summary

    __repr__ = __str__  # what pytest shows of `assert outcome.done`


def trimmed(error: BaseException) -> str:
    """The traceback without the steps that lead to the user's code, and without those in installed code.

    If none of it is the user's, only our own steps are left out.
    """
    whole = traceback.TracebackException.from_exception(error)
    waiting, seen = [whole], {id(whole)}
    while waiting:
        told = waiting.pop()
        own = [frame for frame in told.stack if _is_users(Path(frame.filename))]
        kept = own or [frame for frame in told.stack if not Path(frame.filename).is_relative_to(_OURS)]
        told.stack = traceback.StackSummary.from_list(kept)
        for inner in (told.__cause__, told.__context__, *(told.exceptions or ())):
            if inner is not None and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    return "".join(whole.format()).rstrip("\n")


def _is_users(path: Path) -> bool:
    installed = path.is_relative_to(_STDLIB) or not _INSTALLED.isdisjoint(path.parts)
    return not installed and not path.is_relative_to(_OURS) and not path.name.startswith("<frozen")
