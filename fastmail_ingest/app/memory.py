"""What each child costs: memory that it shares with nobody."""

import psutil

from fastmail_ingest.supervisor.slots import SlotTable, State
from fastmail_ingest.telemetry.counters import Counter


def measure_private_memory(table: SlotTable) -> None:
    """Write each living child's private memory (USS) into its slot, KiB."""
    for slot in table:
        if slot.state is State.READY:
            try:
                slot.put(Counter.PRIVATE_KIB, psutil.Process(slot.pid).memory_full_info().uss // 1024)
            except psutil.Error:
                continue  # it ended meanwhile
