"""fastmail-ingest: every mail of your mailboxes reaches your Python handler, whatever crashes.

What a handler needs: `Email` (what it is given), `Retry` and `Reject` (what it may raise),
`batch_handler` (marks a handler that takes a list of mails), `Classification` (what "classify" found),
`CircuitBreaker` (guards what it calls, and raises `CircuitOpen` while that is down) and `log_scope` (says
which mail log lines are about, where that is not known).

What an operator needs: `DeadLetters`, `RetrySchedule`, `LedgerMemory`, made by `.of("supervisor.toml")`:

>>> import fastmail_ingest
>>> with fastmail_ingest.DeadLetters.of("supervisor.toml") as dead:
...     for letter in dead.find(fastmail_ingest.LetterFilter(reason="retries_exhausted")):
...         print(letter.id, letter.identity, letter.error, letter.message)
...     dead.replay(fastmail_ingest.LetterFilter(error="TimeoutError"), rate=10)
"""

from importlib import import_module
from typing import Any

from fastmail_ingest.breaker import CircuitBreaker
from fastmail_ingest.errors import CircuitOpen, Reject, Retry
from fastmail_ingest.model.classification import Classification
from fastmail_ingest.model.email import Address, Attachment, DeliveryReport, Email, RecipientStatus
from fastmail_ingest.model.handler import batch_handler
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.model.scope import log_scope

__version__ = "0.1.0"

# Loaded when they are asked for: a handler needs none of them, and Redis' client is heavy.
_TOOLS = {
    "DeadLetter": "fastmail_ingest.stream.letter",
    "DeadLetters": "fastmail_ingest.stream.dead_letters",
    "LedgerMemory": "fastmail_ingest.stream.memory",
    "LetterFilter": "fastmail_ingest.stream.letter",
    "RetrySchedule": "fastmail_ingest.stream.schedule",
}

__all__ = [
    "Address",
    "Attachment",
    "CircuitBreaker",
    "CircuitOpen",
    "Classification",
    "DeliveryReport",
    "Email",
    "Lane",
    "RecipientStatus",
    "Reject",
    "Retry",
    "batch_handler",
    "log_scope",
]


def __getattr__(name: str) -> Any:
    if name in _TOOLS:
        return getattr(import_module(_TOOLS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
