"""What all children together have done, and what is left, as it stands in their shared memory."""

from fastmail_ingest.supervisor.slots import SlotTable
from fastmail_ingest.telemetry.counters import Counter


def left_over(table: SlotTable) -> tuple[int, int, int]:
    """Entries in the lanes, waiting for a retry, and dead, as maintenance counted them last."""
    gauges = (Counter.BACKLOG, Counter.WAITING_RETRY, Counter.DEAD_LETTERS)
    newest = max(table, key=lambda slot: (bool(slot.get(Counter.COUNTED)), slot.generation))
    backlog, waiting, dead = (newest.get(gauge) for gauge in gauges)
    return backlog, waiting, dead
