"""What is where in the stream at one moment."""

from typing import NamedTuple


class Census(NamedTuple):
    """Mails that are queued, in the lanes, waiting for a retry (by time, by body), and dead."""

    queued: int
    lanes: int
    delayed: int
    bodies: int
    dead: int

    @property
    def agrees(self) -> bool:
        """Whether every queued mail has its place and every place its mail."""
        return self.queued == self.lanes + self.delayed + self.dead and self.bodies == self.delayed
