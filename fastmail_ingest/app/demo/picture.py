"""The live picture: what goes in, what comes out, and what each process does, read from the slots."""

import time
from collections import deque

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fastmail_ingest.app.operate.words import spark
from fastmail_ingest.supervisor.role import Role
from fastmail_ingest.supervisor.slots import Slot, SlotTable, State
from fastmail_ingest.telemetry.counters import Counter

_SHOWN = ("worker", "producer", "maintenance")
_HISTORY = 48


class Picture:
    """Draws one frame after the other; rates are those since the frame before."""

    def __init__(self, table: SlotTable, roles: list[Role]) -> None:
        self._table = table
        self._roles = roles
        self._before = (time.monotonic(), 0, 0, 0)
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def frame(self) -> RenderableType:
        """The picture as of now."""
        now = time.monotonic()
        fetched, done = self._table.total(Counter.FETCHED), self._table.total(Counter.DONE)
        latency_us = self._table.total(Counter.LATENCY_SUM_US)
        then, _, done_then, latency_then = self._before
        elapsed = max(now - then, 1e-6)
        rate = (done - done_then) / elapsed
        latency_ms = (latency_us - latency_then) / max(done - done_then, 1) / 1000
        self._before = (now, fetched, done, latency_us)
        self._rates.append(rate)
        flow = Text.assemble(
            ("mailboxes ", "dim"),
            (f"{fetched:,}", "bold cyan"),
            ("  ──▶  stream ", "dim"),
            (f"{max(0, fetched - done):,}", "bold yellow"),
            ("  ──▶  handled ", "dim"),
            (f"{done:,}", "bold green"),
        )
        now_line = f"{rate:,.0f} mails/s   {latency_ms:.1f} ms from fetched to settled"
        picture = Group(flow, Text(now_line), Text(spark(self._rates), style="green"), self._processes())
        return Panel(picture, title="fastmail-ingest demo", subtitle="Ctrl-C stops", expand=False)

    def _processes(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("process", "pid", "state", "fetched", "handled", "batch"):
            table.add_column(column, justify="left" if column in ("process", "state") else "right")
        for slot in self._table:
            if slot.state is not State.FREE and self._roles[slot.role].name in _SHOWN:
                table.add_row(*self._row(slot))
        return table

    def _row(self, slot: Slot) -> tuple[str, ...]:
        state = "handling" if slot.held() else slot.state.name.lower()
        return (
            self._roles[slot.role].name,
            str(slot.pid),
            state,
            f"{slot.get(Counter.FETCHED):,}",
            f"{slot.get(Counter.DONE):,}",
            str(slot.get(Counter.BATCH_SIZE) or ""),
        )
