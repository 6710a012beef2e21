"""What the handler `classify` finds out about a mail: `email.notes["classification"]`."""

from typing import Literal

import msgspec

from fastmail_ingest.model.email import Email

CLASSIFICATION = "classification"  # its name among a mail's notes

Priority = Literal["urgent", "high", "normal", "low"]
Problem = Literal["no_sender", "no_date", "too_old", "too_large", "damaged"]


class Classification(msgspec.Struct, frozen=True):
    """Priority, categories and problems of one mail."""

    priority: Priority
    categories: tuple[str, ...]  # of the rules that fit, in their order, each once
    words: tuple[str, ...]  # the words and patterns that were found, as the rules write them
    problems: tuple[Problem, ...]


def classification_of(email: Email) -> Classification | None:
    """What `classify` said of a mail; None if it does not stand before in the chain."""
    found = email.notes.get(CLASSIFICATION)
    return found if isinstance(found, Classification) else None
