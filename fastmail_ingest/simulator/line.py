"""How long bytes take over a line: no clock and no sockets here, see `link.py` for those."""

from collections import deque

import msgspec

# Bytes that enter the line together, as time: short against a round trip, long against an event loop's turn.
QUANTUM_S = 0.001
AHEAD_BYTES = 256 * 1024  # beyond what is in flight, so that the line is never idle for want of a read
_UNLIMITED_BYTES = 16 * 1024 * 1024


class Line(msgspec.Struct, frozen=True):
    """What a line is like, in each direction by itself."""

    delay_s: float = 0.0  # one way: half of the round trip
    bytes_per_s: float = 0.0  # 0: without limit

    @property
    def queue_bytes(self) -> int:
        """How much is taken from a sender that the receiver does not have yet."""
        if not self.bytes_per_s:
            return _UNLIMITED_BYTES
        return int(self.bytes_per_s * self.delay_s) + AHEAD_BYTES

    @property
    def piece_bytes(self) -> int:
        """What enters the line at once."""
        return max(1, int(self.bytes_per_s * QUANTUM_S)) if self.bytes_per_s else _UNLIMITED_BYTES


class Way:
    """One direction: bytes wait for their turn to enter the line, fly for its delay, and arrive.

    `now` is in seconds, of any one clock.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._waiting: deque[memoryview] = deque()
        self._flying: deque[tuple[float, memoryview]] = deque()  # when it arrives, and what
        self._free_at = 0.0  # when the line has swallowed what it was given

    def __bool__(self) -> bool:
        return bool(self._waiting or self._flying)

    def put(self, data: bytes, now: float) -> None:
        """Take what the sender sent."""
        if not self._waiting:
            self._free_at = max(self._free_at, now)
        self._waiting.append(memoryview(data))
        self.held_bytes += len(data)

    def line_changed(self, now: float) -> None:
        """What waits enters the line as it is from now on; what flies arrives as it would have."""
        self._free_at = now

    def take(self, line: Line, now: float) -> list[memoryview]:
        """What has arrived by now, in order."""
        self._enter(line, now)
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            data = self._flying.popleft()[1]
            self.held_bytes -= len(data)
            arrived.append(data)
        return arrived

    def next_at(self) -> float:
        """When there is something to be taken again, if not empty; perhaps a little later than that."""
        return self._flying[0][0] if self._flying else self._free_at

    def _enter(self, line: Line, now: float) -> None:
        """Put on the line what it has had time for. Who looks late loses nothing of it: the times add up."""
        while self._waiting and self._free_at <= now:
            data = self._waiting.popleft()
            if len(data) > line.piece_bytes:
                self._waiting.appendleft(data[line.piece_bytes :])
                data = data[: line.piece_bytes]
            if line.bytes_per_s:
                self._free_at += len(data) / line.bytes_per_s
            self._flying.append((self._free_at + line.delay_s, data))
