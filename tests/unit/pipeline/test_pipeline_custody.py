"""What a worker holds: asked for when it is old, given away when one mail takes long."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from support.waiting import wait_until

from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.pipeline import custody
from fastmail_ingest.pipeline.custody import Custody, Relief, Taken, awake_s

ENTRIES = [Entry(Lane.LIVE, b"%d-0" % number, b"x") for number in range(5)]


class Stream:
    """Notes what a relief does; `away` makes every call fail."""

    unavailable = (ConnectionError,)

    def __init__(self) -> None:
        self.away = False
        self.settled: list[Settlement] = []
        self.kept: list[list[bytes]] = []

    def settle(self, settlement: Settlement) -> int:
        if self.away:
            raise ConnectionError
        self.settled.append(settlement)
        return 0

    def release(self, held: Sequence[tuple[Lane, bytes]]) -> int:
        if self.away:
            raise ConnectionError
        self.kept.append([entry_id for _, entry_id in held])
        return 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custody, "_LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(custody, "PATIENCE_S", 0.02)


def taken(age_s: float = 0.0, begun: int = 0) -> Taken:
    return Taken(list(ENTRIES), awake_s() - age_s, begun)


def checked(batch: Taken, ours: list[Entry]) -> list[list[Entry]]:
    asked: list[list[Entry]] = []

    async def owned(entries: Sequence[Entry]) -> list[Entry]:
        asked.append(list(entries))
        return ours

    asyncio.run(Custody(owned).check(batch))
    return asked


def test_a_fresh_batch_asks_nobody() -> None:
    batch = taken()
    assert checked(batch, []) == []
    assert batch.left == 5


def test_an_old_batch_forgets_what_others_have() -> None:
    batch = taken(age_s=60, begun=2)
    assert checked(batch, [ENTRIES[4]]) == [ENTRIES[2:]]
    assert batch.entries == [*ENTRIES[:2], ENTRIES[4]]
    assert checked(batch, []) == []


def test_the_neighbours_of_a_mail_that_takes_long_are_settled_and_released() -> None:
    stream, batch = Stream(), taken(begun=3)
    batch.settlement.add_done(ENTRIES[0], "m0", 0.0)
    relief = Relief(stream)
    relief.begin(batch)
    wait_until(lambda: stream.kept, "they are released")
    relief.end()
    relief.close()
    assert stream.kept == [[b"0-0", b"1-0", b"2-0"]]
    assert [settlement.done_count for settlement, _ in batch.settled] == [1]
    assert (batch.left, len(batch.settlement)) == (0, 0)
    assert relief.takes_ahead()
    assert not relief.takes_ahead()


def test_while_redis_is_away_nothing_is_forgotten() -> None:
    stream, batch = Stream(), taken(begun=1)
    stream.away = True
    batch.settlement.add_done(ENTRIES[0], "m0", 0.0)
    relief = Relief(stream)
    relief.begin(batch)
    tried = threading.Event()
    stream.settle = lambda _: tried.set() or _fail()  # type: ignore[method-assign]
    assert tried.wait(30)
    relief.end()
    relief.close()
    assert (batch.left, batch.settlement.done_count) == (4, 1)
    assert not relief.takes_ahead()
    assert checked(batch, ENTRIES[1:]) == [ENTRIES[1:]], (
        "it may have been given away before the answer was lost"
    )


def _fail() -> int:
    raise ConnectionError
