"""Dead letters: mails that the handler will not be given again unless an operator says so."""

import io
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from fastmail_ingest.errors import ConfigError, UndecodableEntry
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import decode
from fastmail_ingest.stream.letter import DeadLetter, LetterFilter, by_time, letter_of
from fastmail_ingest.stream.reach import CALL_BYTES, Tool
from fastmail_ingest.stream.scripts import Call, Page

_PAGE = 200
_STEP_MAX = 100  # letters a script call
_STEPS_PER_S = 5.0
_LISTED_BYTES = 8 * 1024  # of each mail: enough for the usual header
_SHOWN_BYTES = 60 * 1024
_STREAM_ID = re.compile(r"\d{1,19}-\d{1,19}")


class _Span(NamedTuple):
    """A part of the stream of dead letters, in the order of reading."""

    first: str
    last: str
    backwards: bool = False


class DeadLetters(Tool):
    """The dead letters of a stream.

    >>> with DeadLetters.of("supervisor.toml") as dead:
    ...     for letter in dead.find(LetterFilter(reason="rejected", newer_than_s=3600)):
    ...         print(letter.id, letter.identity, letter.error, letter.email and letter.email.subject)
    ...     dead.replay(LetterFilter(error="TimeoutError"), rate=10)  # ten a second

    Nothing is read as a whole: letters come in pages, and of their mails only the beginning.
    """

    scripts = ("letters", "replay", "discard")

    def __len__(self) -> int:
        with self._reached():
            return int(self._redis.xlen(self._keys.dead))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[DeadLetter]:
        return self.find()

    def find(
        self,
        wanted: LetterFilter | None = None,
        *,
        newest_first: bool = False,
        keep: int = _LISTED_BYTES,
        before: str = "",
    ) -> Iterator[DeadLetter]:
        """Those that are meant and were there at the beginning; `keep` bytes of each mail come along.

        With `before`, the id of a letter, only older ones: to go on where another search has ended.
        """
        wanted = wanted or LetterFilter()
        low, high = "-", self._newest()
        if not high:
            return
        if wanted.newer_than_s is not None:
            low = f"{self._ago(wanted.newer_than_s)}-0"
        if wanted.older_than_s is not None:
            high = min(high, f"{self._ago(wanted.older_than_s)}-{2**63}", key=by_time)
        if before and by_time(before) <= by_time(high):
            high = f"({before}"
        span = _Span(high, low, backwards=True) if newest_first else _Span(low, high)
        yield from (letter for letter in self._walk(span, keep) if wanted.takes(letter))

    def count(self, wanted: LetterFilter | None = None) -> int:
        """How many are meant."""
        if wanted in {None, LetterFilter()}:
            return len(self)
        return sum(1 for _ in self.find(wanted, keep=0))

    def resolve(self, names: Sequence[str], *, keep: int = 0) -> list[DeadLetter]:
        """The letters with these names: ids of letters, or identities of mails.

        Raises ConfigError if there is no such letter.
        """
        found: dict[str, list[DeadLetter]] = {name: [] for name in names}
        for name in found:
            if _STREAM_ID.fullmatch(name):
                found[name] = self._page(_Span(name, name), 1, keep)
        identities = {name for name in found if not _STREAM_ID.fullmatch(name)}
        for letter in self.find(keep=keep) if identities else ():
            if letter.identity in identities:
                found[letter.identity].append(letter)
        if missing := [name for name, letters in found.items() if not letters]:
            raise ConfigError(
                f"no dead letter {missing[0]!r}. remedy: give its id or the identity of its mail, as "
                "`fastmail-ingest dead list` shows them"
            )
        unique = {letter.id: letter for letters in found.values() for letter in letters}
        return list(unique.values())

    def show(self, name: str) -> DeadLetter:
        """One letter, with as much of its mail as one looks at; raises ConfigError if there is none."""
        return self.resolve([name], keep=_SHOWN_BYTES)[0]

    def export(self, name: str) -> bytes:
        """The mail as it came from the server (.eml); of what cannot be read the bytes that were stored.

        Raises ConfigError if there is no such letter, BlobUnavailable if the bytes of a large mail are gone.
        """
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """The same as a file, to be read and closed: a large mail need not be in memory as a whole."""
        letter = self.resolve([name])[0]
        with self._reached():
            found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrange(  # type: ignore[assignment]
                self._keys.dead, letter.id, letter.id
            )
        if not found:
            raise ConfigError(f"the dead letter {name!r} is gone: it was replayed or removed just now")
        payload = found[0][1].get(b"m") or found[0][1].get(b"x", b"")
        try:
            return Email(decode(payload), blobs=self.blobs).open()
        except UndecodableEntry:
            return io.BytesIO(payload)

    # --- what changes something --------------------------------------------------------------------

    def replay(
        self,
        which: Sequence[str] | LetterFilter,
        rate: float | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Give letters to the handler once more, at most `rate` a second; returns how many.

        Letters that hold no mail of ours stay, and so do those that die anew meanwhile. `progress` hears of
        each step how many letters were looked at. Raises ConfigError for a name that is none, and a rate that
        is not above 0.
        """
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"rate: expected mails a second above 0, got {rate}")
        most = _STEP_MAX if rate is None else max(1, min(_STEP_MAX, int(rate / _STEPS_PER_S)))
        replayed = 0
        for step in _steps(self._letters(which), most):
            replayed += int(self._run("replay", self._arguments.replay(step)))
            progress(len(step))
            if rate is not None:
                time.sleep(len(step) / rate)
        return replayed

    def remove(self, names: Sequence[str]) -> int:
        """Remove letters for good, their mails count as done; returns how many. Raises ConfigError."""
        return self._discard(self.resolve(names))

    def clear(
        self, wanted: LetterFilter | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Remove all that are meant, for good; their mails count as done. Returns how many."""
        return self._discard(self.find(wanted, keep=0), progress)

    def _discard(
        self, letters: Iterable[DeadLetter], progress: Callable[[int], None] = lambda _: None
    ) -> int:
        removed = 0
        for step in _steps(letters, _STEP_MAX):
            removed += int(self._run("discard", self._arguments.discard(step)))
            progress(len(step))
        return removed

    def _letters(self, which: Sequence[str] | LetterFilter) -> Iterable[DeadLetter]:
        return self.find(which, keep=0) if isinstance(which, LetterFilter) else self.resolve(which)

    # --- reading -----------------------------------------------------------------------------------

    def _newest(self) -> str:
        found = self._page(_Span("+", "-", backwards=True), 1, 0)
        return found[0].id if found else ""

    def _ago(self, seconds: float) -> int:
        return max(0, self.now_ms() - int(seconds * 1000))

    def _walk(self, span: _Span, keep: int) -> Iterator[DeadLetter]:
        while page := self._page(span, _PAGE, keep):
            yield from page
            span = span._replace(first=f"({page[-1].id}")

    def _page(self, span: _Span, count: int, keep: int) -> list[DeadLetter]:
        page = Page(span.first, span.last, count, CALL_BYTES)
        call: Call = self._arguments.letters(page, keep, backwards=span.backwards)
        return [letter_of(*values) for values in self._run("letters", call)]


def _steps(letters: Iterable[DeadLetter], most: int) -> Iterator[list[bytes]]:
    """Ids in portions that are small in number and in bytes."""
    step: list[bytes] = []
    size = 0
    for letter in letters:
        step.append(letter.id.encode())
        size += letter.stored_bytes
        if len(step) >= most or size >= CALL_BYTES:
            yield step
            step, size = [], 0
    if step:
        yield step
