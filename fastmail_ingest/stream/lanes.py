"""The worker's side of the stream, on the event loop: read, settle, give back."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import redis.exceptions

from fastmail_ingest.model.ending import Ending
from fastmail_ingest.model.entry import Entry, Settlement
from fastmail_ingest.model.lane import Lane
from fastmail_ingest.stream.connect import ANSWER_TIMEOUT_S, UNAVAILABLE, connect_async
from fastmail_ingest.stream.keys import GROUP
from fastmail_ingest.stream.scripts import Arguments, Call, source

_log = logging.getLogger(__name__)

# A blocked read returns at least this often: a lost connection is noticed, and a finite run can end.
BLOCK_MS = 500
_PUT_BACK_BUDGET = 200
_COUNT_MAX, _COUNT_DIGITS = 1_000_000, 7
_ENTRY_FIELDS_FRESH = 2  # a fresh entry has one field: name and value


class Lanes:
    """The stream as one consumer sees it.

    Two connections: a read may block in one while the last settle is under way in the other.
    All methods raise one of `unavailable` when Redis is away; each may be called again then.
    """

    unavailable = UNAVAILABLE

    def __init__(
        self, url: str, password: str, arguments: Arguments, consumer: str, block_ms: int = BLOCK_MS
    ) -> None:
        self._arguments = arguments
        self._consumer = consumer
        self._block_ms = block_ms
        self._reading = connect_async(url, password)
        self._writing = connect_async(url, password)
        self._settle = self._writing.register_script(source("settle"))
        self._put_back = self._writing.register_script(source("put_back"))
        self._owned = self._writing.register_script(source("owned"))
        self._hand_back = self._writing.register_script(source("hand_back"))
        self._groups = self._writing.register_script(source("make_groups"))
        self._lane_of = {key.encode(): lane for lane, key in arguments.keys.lanes.items()}
        self._streams = [arguments.keys.lanes[lane] for lane in Lane]

    async def open(self) -> int:
        """Connect, make the consumer group where it is missing, return the reading connection's client id."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._make_groups()
            return int(await self._reading.execute_command("CLIENT ID"))

    async def _make_groups(self) -> None:
        call = self._arguments.make_groups()
        if await self._groups(call.keys, call.args):
            _log.error("the consumer group was removed under us; it is made anew, no mail is lost")

    async def read(self, count: int) -> list[Entry]:
        """Read up to `count` entries of each lane; waits up to block_ms for the first one."""
        command = (
            "XREADGROUP",
            "GROUP",
            GROUP,
            self._consumer,
            "COUNT",
            count,
            "BLOCK",
            self._block_ms,
            "STREAMS",
        )
        try:
            async with asyncio.timeout(self._block_ms / 1000 + ANSWER_TIMEOUT_S):
                reply = await self._reading.execute_command(*command, *self._streams, ">", ">", ">")
        except redis.exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # Somebody removed the group, or emptied the database under us: make it anew and go on.
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._make_groups()
            return []
        return self._entries(reply) if reply else []

    def _entries(self, reply: list[Any]) -> list[Entry]:
        entries: list[Entry] = []
        for stream, items in reply:
            lane = self._lane_of[stream]
            for entry_id, fields in items:
                if len(fields) == _ENTRY_FIELDS_FRESH and fields[0] == b"m":
                    entries.append(Entry(lane, entry_id, fields[1]))
                else:
                    entries.append(_returned_entry(lane, entry_id, fields))
        return entries

    async def interrupt(self, client_id: int) -> None:
        """End a blocked read at once; it returns without entries."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._writing.execute_command("CLIENT UNBLOCK", client_id)

    async def settle(self, settlement: Settlement) -> int:
        """Write down what became of the entries; returns how many were no longer ours. Safe to repeat."""
        ignored: int = await self._run(self._settle, self._arguments.settle(settlement))
        return ignored

    async def owned(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of the entries that still are ours: others may have been given to somebody else meanwhile."""
        if not entries:
            return []
        pairs = ((entry.lane, entry.id) for entry in entries)
        flags = await self._run(self._owned, self._arguments.owned(self._consumer, pairs))
        return [entry for entry, is_ours in zip(entries, flags, strict=True) if is_ours]

    async def hand_back(self, entries: Sequence[Entry]) -> None:
        """Give these to everybody: we have our hands full, and no handler has seen them."""
        pairs = ((entry.lane, entry.id) for entry in entries)
        await self._run(self._hand_back, self._arguments.hand_back(pairs))

    async def give_back(self, *, may_have_run: bool = False) -> int:
        """Put back all that this consumer was given and has not settled; returns how many.

        Only to be called when none of it is in a handler's hand. `may_have_run` if a handler may have
        seen some of it: after Redis lost what we had settled.
        """
        moved: int = 0
        ending = Ending(may_have_run=may_have_run)
        while True:
            call = self._arguments.put_back(self._consumer, _PUT_BACK_BUDGET, ending)
            batch, _, more = await self._run(self._put_back, call)
            moved += batch
            if not more:
                return moved

    async def backlog(self) -> int:
        """Entries in all lanes, those in somebody's hand included."""
        total = 0
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            for stream in self._streams:
                total += int(await self._writing.xlen(stream))
        return total

    async def _run(self, script: Any, call: Call) -> Any:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                try:
                    return await script(call.keys, call.args)
                except redis.exceptions.ResponseError as error:
                    if "NOGROUP" not in str(error):
                        raise
                await self._make_groups()

    async def close(self) -> None:
        """Close both connections."""
        await self._reading.aclose()
        await self._writing.aclose()


def _returned_entry(lane: Lane, entry_id: bytes, fields: list[bytes]) -> Entry:
    """An entry with a past; one without our payload field gets an empty payload, which no decoder accepts."""
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    return Entry(
        lane,
        entry_id,
        named.get(b"m", b""),
        failures=_count(named.get(b"f")),
        returns=_count(named.get(b"r")),
        deaths=_count(named.get(b"k")),
    )


def _count(value: bytes | None) -> int:
    """A count as the scripts read it (count_of in _entry.lua): another program may have written anything."""
    if value is None or not value.isdigit():
        return 0
    digits = value.lstrip(b"0")
    return min(int(digits or b"0"), _COUNT_MAX) if len(digits) <= _COUNT_DIGITS else _COUNT_MAX
