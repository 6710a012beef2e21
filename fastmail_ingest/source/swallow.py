"""Whether a mail reads as if its size was wrong and it went on with the responses behind it.

If the wrong size ends just before the ")" of another response, nothing is wrong with the grammar. Only
another look at this mail alone can tell it from a mail about IMAP.
"""

import re

_MARK = b")\r\n* "  # quicker to look for than the expression
_SWALLOWED = re.compile(rb"\)\r\n\* \d{1,10} FETCH \(", re.IGNORECASE)
_LONGEST = len(b")\r\n* 4294967295 FETCH (")


def seems_to_swallow(raw: bytes) -> bool:
    """Whether a mail that is whole in memory reads so."""
    return _MARK in raw and _SWALLOWED.search(raw) is not None


class SwallowWatch:
    """The same for a mail that comes in pieces; `found` tells."""

    def __init__(self) -> None:
        self._tail = b""
        self.found = False

    def see(self, piece: bytes) -> None:
        """Look at the next piece, and at where it joins the one before."""
        if self.found:
            return
        joint = self._tail + piece[: _LONGEST - 1]
        self.found = seems_to_swallow(joint) or seems_to_swallow(piece)
        self._tail = (self._tail + piece[-(_LONGEST - 1) :])[-(_LONGEST - 1) :]
