"""What a thread or a task is busy with: log lines and prints in between carry it.

A context variable (PEP 567): tasks inherit it, threads that a handler starts itself begin with none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import NamedTuple, Protocol


class About(Protocol):
    """What can be told of: a mail, or something with the same names. Empty is nothing."""

    @property
    def correlation_id(self) -> str: ...  # noqa: D102
    @property
    def account(self) -> str: ...  # noqa: D102
    @property
    def mailbox(self) -> str: ...  # noqa: D102


class Scope(NamedTuple):
    """Some names. A task may outlive the mail that it began with: this keeps no bytes of it in memory."""

    correlation_id: str = ""
    account: str = ""
    mailbox: str = ""


NOTHING = Scope()
_current: ContextVar[About] = ContextVar("fastmail_ingest_scope", default=NOTHING)

enter = _current.set  # for the life of a task, or until NOTHING is entered


class Inline:
    """What the thread is busy with that calls a sync handler for one mail after the other.

    A context variable costs a mail 125 ns there, this 20. It is right because no task runs meanwhile, and
    other threads are not shown it.
    """

    __slots__ = ("about", "thread")

    def __init__(self) -> None:
        self.about: About = NOTHING
        self.thread = get_ident()


inline = Inline()


def current() -> About:
    """What this thread or task is busy with."""
    about = _current.get()
    return inline.about if about is NOTHING and inline.thread == get_ident() else about


def names_of(about: About) -> Scope:
    """The names alone."""
    return Scope(about.correlation_id, about.account, about.mailbox)


def fields(about: About) -> dict[str, str]:
    """The names that are not empty, for `extra` of a log call."""
    return {name: value for name, value in names_of(about)._asdict().items() if value}


@contextmanager
def log_scope(about: About) -> Iterator[None]:
    """Within it, log lines and prints are about this mail; afterwards about what they were before.

    A worker has entered the mail's own already. It is for a batch handler that goes through its mails, and
    for threads that a handler has started itself.
    """
    token = _current.set(names_of(about))
    try:
        yield
    finally:
        _current.reset(token)
