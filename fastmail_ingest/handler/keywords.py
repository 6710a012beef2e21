"""Which rules fit a mail: words, patterns and senders, in time that grows with the text only."""

import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from fastmail_ingest.config.classify import ClassifyRule, Place
from fastmail_ingest.errors import HandlerLoadError

# From here on scripts write no spaces between words (Chinese, Japanese), or add to them (Korean).
_UNSPACED = "\u2e80"
_NORMALIZED_AT_ONCE = 256  # characters
_PATTERN_BYTES = 8 << 20  # what RE2 may use for one pattern


class Searched(msgspec.Struct, frozen=True):
    """A place of a mail, once for words (folded) and once for patterns (UTF-8 as it was written)."""

    folded: str
    raw: bytes


class Rule(msgspec.Struct, frozen=True):
    """A rule, ready to be used; `tests` pairs what the configuration says with what looks for it."""

    section: ClassifyRule
    tests: list[tuple[str, Callable[[Searched], bool]]]
    addresses: frozenset[str]
    domains: tuple[str, ...]

    def found(self, places: Mapping[Place, Searched], sender: str) -> list[str] | None:
        """The words and patterns that were found; None if the rule does not fit."""
        if self.section.senders and not self._knows(sender.casefold()):
            return None
        looked_at = [places[place] for place in self.section.look_in]
        found = [said for said, test in self.tests if any(map(test, looked_at))]
        return found if found or not self.tests else None

    def _knows(self, sender: str) -> bool:
        return sender in self.addresses or sender.endswith(self.domains)


def searched(text: str) -> Searched:
    """Make a place ready to be searched."""
    return Searched(fold(text), text.encode("utf-8", "replace"))


def fold(text: str) -> str:
    """Text in which equal words are equal strings: case, width, composition and white space aside."""
    if not text.isascii():
        text = " ".join(map(_normal, text.split()))
    return " ".join(text.casefold().split())


def _normal(word: str) -> str:
    # Combining marks in a row are sorted in quadratic time (UAX 15, 13): in no real word are there so many.
    parts = range(0, len(word), _NORMALIZED_AT_ONCE)
    return "".join(unicodedata.normalize("NFKC", word[at : at + _NORMALIZED_AT_ONCE]) for at in parts)


def ready(rules: list[ClassifyRule]) -> list[Rule]:
    """Compile the rules; raises HandlerLoadError for a rule that cannot work."""
    return [_ready(rule, number) for number, rule in enumerate(rules, 1)]


def _ready(rule: ClassifyRule, number: int) -> Rule:
    if not (rule.words or rule.patterns or rule.senders):
        raise HandlerLoadError(
            f"[[classify_rules]] number {number}, {rule.category}: it fits every mail. "
            "remedy: give it words, patterns or senders"
        )
    tests: list[tuple[str, Callable[[Searched], bool]]] = [(word, _word_test(word)) for word in rule.words]
    tests += [(pattern, _pattern_test(pattern, number)) for pattern in rule.patterns]
    senders = [sender.casefold() for sender in rule.senders]
    domains = [sender.removeprefix("@") for sender in senders if "@" not in sender[1:]]
    return Rule(
        rule,
        tests,
        frozenset(sender for sender in senders if "@" in sender[1:]),
        tuple(mark + domain for domain in domains for mark in "@."),
    )


def _word_test(word: str) -> Callable[[Searched], bool]:
    folded = fold(word)
    return lambda place: contains_word(place.folded, folded)


def contains_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text` (both folded) and is not the inside of another word."""
    start = 0
    while (at := text.find(word, start)) >= 0:
        end = at + len(word)
        if _apart(text[at - 1 : at], word[0]) and _apart(text[end : end + 1], word[-1]):
            return True
        start = at + 1
    return False


def _apart(neighbour: str, edge: str) -> bool:
    """Whether a word may end where `edge` stands beside `neighbour` (empty at the text's end)."""
    return not (neighbour.isalnum() and edge.isalnum()) or edge >= _UNSPACED


def _pattern_test(pattern: str, number: int) -> Callable[[Searched], bool]:
    place = f"[[classify_rules]] number {number}, pattern {pattern!r}"
    re2 = _re2(place)
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, _PATTERN_BYTES
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as error:
        raise HandlerLoadError(
            f"{place}: {error}. remedy: write it in RE2's syntax, which has neither backreferences nor "
            "look-arounds"
        ) from error
    return lambda text: compiled.search(text.raw) is not None


@cache
def _re2(place: str) -> Any:
    try:
        import re2  # noqa: PLC0415 - an extra, needed only for patterns
    except ImportError as error:
        raise HandlerLoadError(
            f"{place}: regular expressions need RE2. remedy: pip install 'fastmail-ingest[patterns]', or "
            "write words"
        ) from error
    return re2
