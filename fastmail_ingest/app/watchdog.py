"""Who does nothing although there is work: process liveness proves nothing, so the slots are read."""

from collections.abc import Iterator

from fastmail_ingest.policy.breaker import State as Breaker
from fastmail_ingest.stream.connect import ANSWER_TIMEOUT_S
from fastmail_ingest.supervisor.slots import Slot, SlotTable, State
from fastmail_ingest.telemetry.counters import Counter

# Every loop comes round at least so often: nothing in it waits for an answer longer than ANSWER_TIMEOUT_S.
SILENCE_S = ANSWER_TIMEOUT_S + 15.0
CONFIRMED_AFTER_S = 1.0


class Watchdog:
    """Names a child only if it looked stuck twice, with time to write down a mail in between."""

    def __init__(self, table: SlotTable, stall_s: float) -> None:
        self._table = table
        self._stall_s = stall_s
        self._suspected: dict[int, float] = {}  # pid -> since when

    def __call__(self, now: float) -> list[tuple[int, str]]:
        """The pids of children that are stuck, with the reason; `now` is time.monotonic()."""
        found = dict(find_stuck(self._table, self._stall_s, now))
        self._suspected = {pid: self._suspected.get(pid, now) for pid in found}
        return [(pid, why) for pid, why in found.items() if now - self._suspected[pid] >= CONFIRMED_AFTER_S]


def find_stuck(table: SlotTable, stall_s: float, now: float) -> Iterator[tuple[int, str]]:
    """The pids of children that are stuck, with the reason; `now` is time.monotonic().

    A worker that has mail in hand is the business of handler.timeout, not ours.
    """
    ready = [slot for slot in table if slot.state is State.READY and not slot.held()]
    unread_s = _work_waits_s([slot for slot in table if slot.state is State.READY], now)
    for slot in ready:
        silent_s = now - slot.get(Counter.ALIVE_NS) / 1e9
        if slot.get(Counter.ALIVE_NS) and silent_s > max(SILENCE_S, stall_s):
            yield slot.pid, f"no sign of life for {silent_s:.0f} s"
        elif slot.get(Counter.CLIENT_ID) and _idles(slot, min(unread_s, now - slot.started_at), stall_s, now):
            yield slot.pid, f"mail waits and it has settled nothing for {stall_s:.0f} s"


def _work_waits_s(ready: list[Slot], now: float) -> float:
    """For how long there has been work that no worker was given, as maintenance saw it; 0 if none."""
    since = max((slot.get(Counter.UNREAD_SINCE_NS) for slot in ready), default=0)
    return now - since / 1e9 if since else 0.0


def _idles(slot: Slot, waiting_s: float, stall_s: float, now: float) -> bool:
    breakers = (Counter.HANDLER_BREAKER, Counter.REDIS_BREAKER)
    if waiting_s < stall_s or any(slot.get(breaker) != Breaker.CLOSED for breaker in breakers):
        return False
    return now - slot.get(Counter.LAST_SETTLE_NS) / 1e9 > stall_s
