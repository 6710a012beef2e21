"""Whether fetching pauses: the mailbox is the buffer, the stream must stay small enough for its Redis."""

import msgspec

# Fetching goes on when there is this much less than the mark, not at the first gap.
RELEASE = 0.8


class Marks(msgspec.Struct, frozen=True):
    """Above any of these fetching pauses: mails and their bytes in the stream, share of Redis' memory."""

    mails: int
    size: int
    memory: float


class Load(msgspec.Struct, frozen=True):
    """What there is: mails and their bytes in the stream, and how much of its memory Redis uses (0 to 1)."""

    mails: int = 0
    size: int = 0
    memory: float = 0.0


def too_full(marks: Marks, load: Load, *, pausing: bool) -> str:
    """Why fetching pauses, in words; empty if it goes on. While `pausing`, the marks are lower."""
    share = RELEASE if pausing else 1.0
    if load.mails >= marks.mails * share:
        return f"{load.mails} mails wait in the stream"
    if load.size >= marks.size * share:
        return f"{load.size / 1e6:.0f} MB of mail wait in the stream"
    # Memory falls slowly and not to nothing: a step of 2 % is enough to tell rising from falling.
    if load.memory >= (marks.memory - 0.02 if pausing else marks.memory):
        return f"Redis uses {load.memory:.0%} of its memory"
    return ""
