"""The handler `classify`: is this mail in order, what is it about, how urgent is it?"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastmail_ingest.config.classify import ClassifyConfig, ClassifyRule, Place
from fastmail_ingest.errors import Reject
from fastmail_ingest.handler.keywords import Searched, ready, searched
from fastmail_ingest.handler.redis_stream import RedisStream
from fastmail_ingest.model.classification import CLASSIFICATION, Classification, Priority, Problem
from fastmail_ingest.model.email import Email

_log = logging.getLogger("fastmail_ingest.handler")

_ORDER: tuple[Priority, ...] = ("urgent", "high", "normal", "low")
# X-Priority as mail programs write it (1 to 5), Importance and Priority as RFC 4021 lists them.
_SAID: dict[str, dict[str, Priority]] = {
    "X-Priority": {"1": "high", "2": "high", "4": "low", "5": "low"},
    "Importance": {"high": "high", "low": "low"},
    "Priority": {"urgent": "high", "non-urgent": "low"},
}
_WORDS: dict[Problem, str] = {
    "no_sender": "it has no sender that can be read",
    "no_date": "it has no date that can be read",
    "too_old": "its date is longer ago than max_age_days",
    "too_large": "it is larger than max_size",
    "damaged": "it is damaged",
}


class Classify:
    """Leaves a `Classification` in `email.notes["classification"]` for the handlers behind it in the chain.

    Guarantee: changes nothing outside, so a mail that comes again is classified again, with the same
    result. A problem listed in `[classify] reject` raises Reject: the handlers behind are not called.
    """

    def __init__(self, section: ClassifyConfig, rules: list[ClassifyRule]) -> None:
        """Raises HandlerLoadError for a rule that cannot work."""
        self._section = section
        self._rules = ready(rules)
        self._places = frozenset(place for rule in rules for place in rule.look_in)
        self._statistics = Statistics(section.statistics_every, time.monotonic)

    def __call__(self, email: Email) -> None:
        """Classify a mail; raises Reject for a problem that the configuration does not take."""
        problems = self._problems(email)
        found = self._classified(email, problems)
        email.notes[CLASSIFICATION] = found
        if email.attempt == 1:
            self._statistics.count(found)
        for problem in problems:
            if problem in self._section.reject:
                raise Reject(f"{_WORDS[problem]} ([classify] reject: {problem})")

    def shutdown(self) -> None:
        """Log what was counted."""
        self._statistics.tell()

    def _problems(self, email: Email) -> tuple[Problem, ...]:
        section, date = self._section, email.date
        age_max = timedelta(days=section.max_age_days)
        checks: dict[Problem, bool] = {
            "no_sender": not email.sender,
            "no_date": date is None,
            "too_old": bool(date and age_max and datetime.now(UTC) - date > age_max),
            "too_large": 0 < section.max_size < email.size,
            "damaged": bool(email.defects),
        }
        return tuple(problem for problem, is_so in checks.items() if is_so)

    def _classified(self, email: Email, problems: tuple[Problem, ...]) -> Classification:
        places = {place: self._place(email, place) for place in self._places}
        categories: dict[str, None] = {}
        words: dict[str, None] = {}
        asked: list[Priority] = []
        for rule in self._rules:
            found = rule.found(places, email.sender)
            if found is None:
                continue
            categories[rule.section.category] = None
            words.update(dict.fromkeys(found))
            if rule.section.priority:
                asked.append(rule.section.priority)
        priority = min(asked, key=_ORDER.index) if asked else self._unasked(email)
        return Classification(priority, tuple(categories), tuple(words), problems)

    def _place(self, email: Email, place: Place) -> Searched:
        if place == "subject":
            return searched(email.subject)
        if place == "sender":
            return searched(f"{email.sender_name} {email.sender}")
        return searched(email.body_text[: self._section.search_limit])

    def _unasked(self, email: Email) -> Priority:
        """The priority of a mail that no rule speaks about."""
        if is_automatic(email):
            return "low"
        if self._section.header_priority:
            for header, meanings in _SAID.items():
                said = email.header(header).lower().split()
                if said and said[0] in meanings:
                    return meanings[said[0]]
        return "normal"


def is_automatic(email: Email) -> bool:
    """Whether it is not for its reader alone: sent by a program, in bulk, or by a mailing list (RFC 2919)."""
    return email.is_auto_submitted or email.is_bulk


class ClassifyToStream:
    """`Classify`, with each result in a Redis stream, too; as often as `RedisStream` guarantees: once."""

    def __init__(self, classify: Classify, stream: RedisStream) -> None:
        self._classify = classify
        self._stream = stream
        self.startup = stream.startup

    async def __call__(self, email: Email) -> None:
        """Classify a mail and add the result, that of a rejected mail, too."""
        rejected = None
        try:
            self._classify(email)
        except Reject as error:
            rejected = error
        await self._stream.add(email, email.notes[CLASSIFICATION])
        if rejected is not None:
            raise rejected

    async def shutdown(self) -> None:
        """Log what was counted, and close the connections."""
        self._classify.shutdown()
        await self._stream.shutdown()


Kind = Literal["priority", "category", "problem"]


class Statistics:
    """How many mails of which kind a worker has seen; each mail counts once, in its first attempt."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._every_s, self._clock = every_s, clock
        self._lock = threading.Lock()  # [handler] threads
        self._next = clock() + every_s
        self._mails = 0
        self._counts: Counter[tuple[Kind, str]] = Counter()

    def count(self, found: Classification) -> None:
        """Count a mail, and tell if it is time to."""
        with self._lock:
            self._mails += 1
            self._counts["priority", found.priority] += 1
            self._counts.update(("category", each) for each in found.categories)
            self._counts.update(("problem", each) for each in found.problems)
            due = self._every_s > 0 and self._clock() >= self._next
            if due:
                self._next = self._clock() + self._every_s
        if due:
            self.tell()

    def tell(self) -> None:
        """Log what was counted since the worker began."""
        with self._lock:
            mails, counts = self._mails, dict(self._counts)
        if not mails:
            return
        parts = [
            f"{kind} {name}: {count}"
            for (kind, name), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1]))
        ]
        _log.info("classified %d mails: %s", mails, ", ".join(parts))
