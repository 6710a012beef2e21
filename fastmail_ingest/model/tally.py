"""How many mails a whole stream has, by where they are."""

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """Mails in the lanes, of these in workers' hands, waiting for a retry, dead, and remembered as done;
    and cursors of mailboxes and imports.
    """

    lanes: int = 0
    pending: int = 0
    delayed: int = 0
    dead: int = 0
    done: int = 0
    cursors: int = 0

    @property
    def waiting(self) -> int:
        """Mails that the handler still has to be given."""
        return self.lanes + self.delayed
