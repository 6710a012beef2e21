"""Writes settlements while the next mails are being handled: one under way, all others gathered."""

import asyncio
import logging
import random
import time

from fastmail_ingest.model.entry import Settlement
from fastmail_ingest.pipeline.ports import Journal, Lanes
from fastmail_ingest.policy.backoff import REDIS_RECONNECT, delay_s

_log = logging.getLogger(__name__)

# An answer takes a few ms, with a file that is written first ("appendfsync always") some tens.
ANSWER_AWAITED_S = 0.1
GATHERED_MAX = 1000  # entries; settle.lua passes a lane's ids as arguments of one command


class Settler:
    """Takes settlements in and sends them one after the other; a batch of them when they come fast.

    Sending is repeated until Redis has it: a settlement is never dropped while the process lives.
    """

    def __init__(self, lanes: Lanes, journal: Journal) -> None:
        self._lanes = lanes
        self._journal = journal
        self._gathered = Settlement()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self._sent_at = 0.0  # when the settlement went out whose answer is awaited (time.monotonic()), else 0

    def add(self, settlement: Settlement) -> None:
        """Take in what became of some entries."""
        if not len(settlement):
            return
        self._gathered = self._gathered.merged_with(settlement)
        self._idle.clear()
        self._wake.set()
        if len(self._gathered) >= GATHERED_MAX // 2:
            self._room.clear()

    def note(self, settlement: Settlement, ignored: int) -> None:
        """Count what somebody else has sent."""
        self._journal.settled(settlement, ignored)

    async def room(self) -> None:
        """Wait until more can be taken in; lets the event loop send what is there in any case.

        While Redis does not answer there is no room: what is handled and not written down would be handled
        again if we died.
        """
        await asyncio.sleep(0)
        if self._sent_at and time.monotonic() - self._sent_at > ANSWER_AWAITED_S:
            self._room.clear()
        await self._room.wait()

    async def flushed(self) -> None:
        """Wait until everything has been written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            settlement, self._gathered = self._gathered, Settlement()
            self._room.set()
            self._sent_at = time.monotonic()
            ignored = await self._persist(settlement)
            self._sent_at = 0.0
            if len(self._gathered) < GATHERED_MAX // 2:
                self._room.set()
            self._journal.settled(settlement, ignored)
            if not len(self._gathered):
                self._idle.set()

    async def _persist(self, settlement: Settlement) -> int:
        failures = 0
        while True:
            try:
                return await self._lanes.settle(settlement)
            except self._lanes.unavailable as error:
                failures += 1
                _log.warning("settling %d mails: Redis is away (%s), trying again", len(settlement), error)
                await asyncio.sleep(delay_s(REDIS_RECONNECT, failures, random.random()))  # noqa: S311
