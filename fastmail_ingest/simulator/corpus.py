"""An endless, deterministic supply of realistic mails: number in, mail out.

Bodies come from a pool made once; a mail of its own is only the head, which is one formatting of a template.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import TypeAlias

import msgspec

from fastmail_ingest.simulator.kinds import KINDS, LARGE_KINDS, SMALL_KINDS, Draft, Kind, plain
from fastmail_ingest.simulator.mailbox import Content

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Header names and values (ASCII, one line each) that a caller adds to a mail."""

MEAN_BYTES = 18 * 1024
POOL_SIZE = 250  # a divisor of 1,000, so that any 1,000 mails in a row hold each body equally often
SMALLEST_BYTES = 1024
LARGEST_BYTES = 200 * 1024
LARGE_FROM_BYTES = 40 * 1024
ANY_KIND_FROM_BYTES = 4 * 1024
FIRST_DATE_S = 1_735_689_600  # 2025-01-01: the date of mail 0
SECONDS_BETWEEN_MAILS = 37

_SECONDS_A_DAY = 86400
_SIGMA = 1.2  # of the sizes' logarithm: many small mails and a few large ones
_TYPICAL_NUMBER = 10_000
_RECIPIENT = b"Support <support@example.com>"


class Template(msgspec.Struct, frozen=True):
    """One mail of the pool: the head to be formatted, and the body as it is."""

    head: bytes
    body: bytes


class Corpus:
    """Mails by number. `size` is "mixed" (sizes as in a real mailbox) or the size of every mail in bytes.

    The same seed gives the same mails, in any process. `numbered` names a header for each mail's number.
    """

    def __init__(
        self, seed: int = 1, size: int | str = "mixed", *, mean_bytes: int = MEAN_BYTES, numbered: str = ""
    ) -> None:
        self.seed = seed
        self._numbered = f"{numbered}: ".encode() + b"%d\r\n" if numbered else b""
        rng = Random(seed)  # noqa: S311 - to be repeated, not to be secret
        if isinstance(size, int):
            self._pool = [self._sized(rng, kind, size) for kind in _kinds_of_size(size)]
        elif size == "mixed":
            self._pool = self._mixed(rng, mean_bytes)
        else:
            raise ValueError(f'size is a number of bytes or "mixed", not {size!r}')

    def render(self, number: int, extra: Headers = ()) -> Content:
        """Head and body of mail `number`, with the extra headers; the body object is shared by many mails."""
        template = self._pool[number % POOL_SIZE]
        more = self._numbered % number if self._numbered else b""
        if extra:
            more += "".join([f"{name}: {value}\r\n" for name, value in extra]).encode()
        values = {b"number": number, b"date": _date(self.date(number)), b"extra": more}
        return template.head % values, template.body

    @staticmethod
    def date(number: int) -> float:
        """When mail `number` was sent, in epoch seconds."""
        return FIRST_DATE_S + number * SECONDS_BETWEEN_MAILS

    def _mixed(self, rng: Random, mean_bytes: int) -> list[Template]:
        sizes = draw_sizes(rng, mean_bytes)
        kinds = _deal_kinds(rng, sizes)
        pool = [self._sized(rng, kind, size) for kind, size in zip(kinds, sizes, strict=True)]
        # Kinds with a least size of their own, or of whole lines, miss their size; large mails correct that.
        missing = mean_bytes * POOL_SIZE - sum(map(self._size, pool))
        large = sorted(range(POOL_SIZE), key=sizes.__getitem__)[-POOL_SIZE // 5 :]
        for at in large:
            size = self._size(pool[at]) + missing // len(large)
            pool[at] = self._sized(rng, kinds[at], min(max(size, SMALLEST_BYTES), LARGEST_BYTES))
        rng.shuffle(pool)
        return pool

    def _sized(self, rng: Random, kind: Kind, size: int) -> Template:
        """A mail of this kind whose head and body together have about this size."""
        state = rng.getstate()
        overhead = self._size(self._template(kind(rng, 0))) - len(kind(rng, 0).body)
        rng.setstate(state)
        return self._template(kind(rng, max(0, size - overhead)))

    def _size(self, template: Template) -> int:
        values = {b"number": _TYPICAL_NUMBER, b"date": _date(FIRST_DATE_S), b"extra": b""}
        return len(template.head % values) + len(template.body)

    def _template(self, draft: Draft) -> Template:
        name, address = draft.sender
        fields = {
            "Return-Path": b"<%s>" % address.encode(),
            "Received": b"from mx.example.net (mx.example.net [192.0.2.17])\r\n\tby mail.example.com"
            b" with ESMTPS id {number}x%d\r\n\tfor <support@example.com>; {date}" % self.seed,
            "Date": b"{date}",
            "From": b"%s <%s>" % (name.encode("iso-8859-1"), address.encode()),
            "To": _RECIPIENT,
            "Subject": draft.subject,
            "Message-ID": b"<{number}.%d@mail.example.net>" % self.seed,
            "MIME-Version": b"1.0",
        }
        lines = [
            b"%s: %s\r\n" % (key.encode(), value) for key, value in fields.items() if key not in draft.omit
        ]
        head = b"".join(lines) + draft.extra + b"{extra}" + draft.content + b"\r\n"
        head = head.replace(b"%", b"%%").replace(b"{number}", b"%(number)d")
        return Template(head.replace(b"{date}", b"%(date)s").replace(b"{extra}", b"%(extra)s"), draft.body)


def _kinds_of_size(size: int) -> list[Kind]:
    some: tuple[Kind, ...] = (plain,) if size < ANY_KIND_FROM_BYTES else (plain, *LARGE_KINDS)
    return [some[at % len(some)] for at in range(POOL_SIZE)]


def mixed(size_mean_bytes: int = MEAN_BYTES, *, seed: int = 1) -> Corpus:
    """Mails of all kinds and sizes, with this mean."""
    return Corpus(seed, mean_bytes=size_mean_bytes)


def draw_sizes(rng: Random, mean_bytes: int) -> list[int]:
    """POOL_SIZE sizes from a log-normal distribution, clipped, and scaled to the mean."""
    drawn = [rng.lognormvariate(0.0, _SIGMA) for _ in range(POOL_SIZE)]
    scale = mean_bytes * POOL_SIZE / sum(drawn)
    for _ in range(8):  # clipping moves the mean, so scale and clip until it stays
        clipped = [min(max(size * scale, SMALLEST_BYTES), LARGEST_BYTES) for size in drawn]
        scale *= mean_bytes * POOL_SIZE / sum(clipped)
    return [round(size) for size in clipped]


def _deal_kinds(rng: Random, sizes: list[int]) -> list[Kind]:
    """A kind for each size; every kind comes up at least once, large mails are HTML or have attachments."""
    small = [at for at, size in enumerate(sizes) if size < LARGE_FROM_BYTES]
    kinds: list[Kind] = [rng.choice(LARGE_KINDS) for _ in sizes]
    often = (KINDS["plain"], KINDS["html"])
    for turn, at in enumerate(small):
        kinds[at] = SMALL_KINDS[turn] if turn < len(SMALL_KINDS) else rng.choice((*SMALL_KINDS, *often * 6))
    return kinds


def _date(epoch_s: float) -> bytes:
    day, second = divmod(int(epoch_s), _SECONDS_A_DAY)
    return b"%s %02d:%02d:%02d +0000" % (_day(day), second // 3600, second // 60 % 60, second % 60)


@lru_cache(maxsize=1024)
def _day(day: int) -> bytes:
    return time.strftime("%a, %d %b %Y", time.gmtime(day * _SECONDS_A_DAY)).encode()
