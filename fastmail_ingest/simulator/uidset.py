"""IMAP sequence sets (RFC 3501 9 `sequence-set`): `2,4:7,9:*`, for UIDs and for sequence numbers alike."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from fastmail_ingest.errors import ProtocolError

_STAR = 0  # no UID and no sequence number is 0
_LARGEST = 2**32 - 1
_SHAPE = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")


class UidSet:
    """A parsed set; what `*` stands for is decided only when the set is applied to the numbers there are."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._ranges = list(ranges)

    @classmethod
    def parse(cls, text: bytes) -> "UidSet":
        """From the wire; raises ProtocolError for anything that the grammar does not allow."""
        if not _SHAPE.fullmatch(text):
            raise ProtocolError("not a sequence set")
        ranges = []
        for part in text.split(b","):
            first, colon, last = part.partition(b":")
            low = _number(first)
            ranges.append((low, _number(last) if colon else low))
        return cls(ranges)

    def slices(self, numbers: Sequence[int]) -> list[slice]:
        """The places in the rising `numbers` that the set names: disjoint slices, rising.

        `n:*` is the range between n and the last one, in either order: it holds the last even if n is above.
        """
        if not numbers:
            return []
        spans = sorted(self._span(numbers, first, last) for first, last in self._ranges)
        merged: list[slice] = []
        for start, stop in spans:
            if merged and start <= merged[-1].stop:
                merged[-1] = slice(merged[-1].start, max(stop, merged[-1].stop))
            elif start < stop:
                merged.append(slice(start, stop))
        return merged

    def indices(self, numbers: Sequence[int]) -> Iterator[int]:
        """The same places one by one."""
        for part in self.slices(numbers):
            yield from range(part.start, part.stop)

    @staticmethod
    def _span(numbers: Sequence[int], first: int, last: int) -> tuple[int, int]:
        low, high = sorted((first or numbers[-1], last or numbers[-1]))
        return bisect_left(numbers, low), bisect_right(numbers, high)


def compact(numbers: Sequence[int]) -> bytes:
    """Rising numbers as the shortest set: `1:3,9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return b",".join(b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in runs)


def _number(text: bytes) -> int:
    if text == b"*":
        return _STAR
    number = int(text)
    if not 0 < number <= _LARGEST:
        raise ProtocolError("a number of a sequence set is outside 1..2^32-1")
    return number
