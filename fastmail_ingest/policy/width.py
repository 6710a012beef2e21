"""How many UIDs to ask for at once: enough to make a round trip cheap, few enough to lose little.

A mail is in Redis as it comes, whatever the width; only the cursor waits for the end of the window.
"""

import msgspec

# About so much is on its way in one FETCH. At 100 Mbit/s and 50 ms round trip the waits are then below 2 %.
TARGET_BYTES = 32 * 1024 * 1024
TARGET_S = 5.0
FIRST = 128
GROWTH = 4.0
# From the whole window to a single mail in a few steps: each may cost a new connection.
SHRINK = 8


class Width(msgspec.Struct, frozen=True):
    """The width of the next window, in UIDs, and how often in a row it failed at width 1."""

    uids: int = FIRST
    failed_alone: int = 0


def after_success(width: Width, most: int, uids: int, size: int, elapsed_s: float) -> Width:
    """The next width, now that a window of `uids` UIDs brought `size` bytes in `elapsed_s` seconds."""
    share = max(size / TARGET_BYTES, elapsed_s / TARGET_S, 1.0 / GROWTH)
    return Width(max(1, min(most, int(uids / share) or 1)))


def after_failure(width: Width, uids: int) -> Width:
    """The next width, now that a window of `uids` UIDs failed; a single mail counts its failures."""
    if uids <= 1:
        return Width(1, width.failed_alone + 1)
    return Width(max(1, min(width.uids, uids) // SHRINK))
