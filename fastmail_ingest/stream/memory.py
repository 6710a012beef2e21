"""The memory of handled mails: how much there is of it, and clearing it for maintenance."""

import random
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from fastmail_ingest.errors import ConfigError
from fastmail_ingest.stream.keys import glob_of
from fastmail_ingest.stream.reach import Tool

_MONTH = re.compile(r"\d{4}(0[1-9]|1[0-2])")
_SCAN = 1000
_FORGET = 500  # keys a script call
_SAMPLE = 256  # keys of a month that are measured


class Month(msgspec.Struct):
    """The memory of one month (yyyymm). `handled` mails and `digests` of names and contents are remembered.

    `memory_bytes` is what its `keys` take in Redis, measured on a sample of them.
    """

    month: str
    handled: int = 0
    digests: int = 0
    keys: int = 0
    memory_bytes: int = 0

    @property
    def bytes_a_mail(self) -> float:
        """Memory for one mail, its content's digest included; 0 for none."""
        return self.memory_bytes / self.handled if self.handled else 0.0


class LedgerMemory(Tool):
    """What is remembered of mails that were handled, by month.

    >>> with LedgerMemory.of("supervisor.toml") as memory:
    ...     for month in memory.months():
    ...         print(month.month, month.handled, month.bytes_a_mail)

    Clearing it makes nothing come again by itself. But a mail that is fetched again - after a new
    UIDVALIDITY, from another folder or label, by an import, or from a cursor that was set back - is handled
    again if nobody remembers it. Mails that wait, and dead letters, are no part of this and stay.
    """

    scripts = ("forget",)

    def months(self) -> list[Month]:
        """Statistics of each month, oldest first."""
        found: dict[str, Month] = {}
        samples: dict[str, list[bytes]] = {}
        with self._reached():
            for key, name in self._all_keys():
                month = found.setdefault(name, Month(name))
                month.keys += 1
                _keep_sample(samples.setdefault(name, []), key, month.keys)
            for name, month in found.items():
                self._measure(month, samples[name])
        return [found[name] for name in sorted(found)]

    def this_month(self) -> str:
        """The month that is written to now (yyyymm), by the clock of Redis."""
        return _month_at(self.now_ms())

    def clear(self, before: str | None = None) -> int:
        """Forget the months before this one (yyyymm), or all; returns how many mails were forgotten.

        Safe while mails are handled: what is handled meanwhile may be forgotten, too. Die in the middle of it
        and the rest is there still: repeat it. Raises ConfigError for a month that is none.
        """
        if before is not None and not _MONTH.fullmatch(before):
            raise ConfigError(f"{before!r} is no month. remedy: yyyymm, as in 202603")
        forgotten = sum(month.handled for month in self.months() if before is None or month.month < before)
        until_ms = self.now_ms()
        if before is not None:
            until_ms = min(until_ms, _start_ms(before))
        heads: list[bytes] = []
        chunk: list[bytes] = []
        with self._reached():
            for key, name in self._all_keys():
                if before is not None and name >= before:
                    continue
                # The counts go last: as long as they are there, what is added is found again.
                (heads if key == self._keys.month(name).encode() else chunk).append(key)
                if len(chunk) >= _FORGET:
                    self._forget(chunk, until_ms)
                    chunk = []
        for keys in filter(None, (chunk, heads)):
            self._forget(keys, until_ms)
        return forgotten

    def _forget(self, keys: Sequence[bytes], until_ms: int) -> None:
        self._run("forget", self._arguments.forget(keys, until_ms))

    def _all_keys(self) -> Iterator[tuple[bytes, str]]:
        for key in self._redis.scan_iter(match=glob_of(f"{self._keys.done}:"), count=_SCAN):
            if name := self._keys.month_of(key.decode("utf-8", "replace")):
                yield key, name

    def _measure(self, month: Month, sample: list[bytes]) -> None:
        handled, digests = self._redis.hmget(self._keys.month(month.month), ["done", "digests"])
        month.handled, month.digests = int(handled or 0), int(digests or 0)
        pipe = self._redis.pipeline(transaction=False)
        for key in sample:
            pipe.memory_usage(key, samples=0)
        sizes = [int(size or 0) for size in pipe.execute()]
        month.memory_bytes = round(sum(sizes) / len(sizes) * month.keys)


def _keep_sample(sample: list[bytes], key: bytes, seen: int) -> None:
    """Keep each of the keys seen so far with the same chance (J. Vitter's algorithm R, 1985)."""
    if len(sample) < _SAMPLE:
        sample.append(key)
    elif (at := random.randrange(seen)) < _SAMPLE:  # noqa: S311 - no secret
        sample[at] = key


def _month_at(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m")


def _start_ms(month: str) -> int:
    return int(datetime(int(month[:4]), int(month[4:]), 1, tzinfo=UTC).timestamp() * 1000)
