"""What the header block says: subject, addresses, date, and every header in its order."""

import email.utils
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import fast_mail_parser
from multidict import CIMultiDict, CIMultiDictProxy

from fastmail_ingest.model.mime.address import Address
from fastmail_ingest.model.mime.header_text import is_doubtful, one_line, words_decoded
from fastmail_ingest.model.mime.lazy import lazy
from fastmail_ingest.model.mime.traps import has_few_loose_words

# A header and its folded lines (RFC 5322, 2.2), with the space that old ones have before the colon (4.5).
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_FOLDS = re.compile(r"\r?\n(?=[ \t])")
# The stdlib reads addresses in Python, character by character, comments in comments by recursion.
_ADDRESSES_CHARS_MAX = 16 * 1024

_NONE = ("",)
# What nearly every From is: Name <address>, "Name" <address>, or the address alone, without any of the
# characters that mean more than themselves (RFC 5322, 3.2.3).
_ADDRESS = r"""[^<>()\[\]\s,:;@"\\\x00-\x1f\x7f-\x9f]+@[^<>()\[\]\s,:;@"\\\x00-\x1f\x7f-\x9f]+"""
_ONE_ADDRESS = re.compile(
    rf"""(?:"([^"\\]*)"[ \t]*|([^<>()\[\],:;@"\\]*))<({_ADDRESS})>[ \t]*|({_ADDRESS})[ \t]*"""
)

_PLAIN_ADDRESS = re.compile(_ADDRESS)
# RFC 5322, 4.4: how a mail was to travel in 1982, which says nothing of whose it is.
_ROUTE = re.compile(r"<\s*@[^<>:]*:")

_T = TypeVar("_T")


class Head:
    """Each property is read when it is asked for; `defects` says what could not be read so far."""

    def __init__(self, head: bytes, decoded: dict[str, list[str]], defects: list[str]) -> None:
        """`head` is UTF-8 and within the bounds; `decoded` is what fast-mail-parser made of it."""
        self._head = head
        self._decoded = decoded
        self.defects = defects

    @lazy
    def _fast(self) -> fast_mail_parser.PyMailMetadata | None:
        if not has_few_loose_words(self._head):
            return None
        try:
            return fast_mail_parser.parse_email(self._head, mode="metadata")
        except fast_mail_parser.ParseError as error:
            self.defects.append(f"headers: {error}")
            return None

    @lazy
    def _fields(self) -> list[tuple[str, str]]:
        """Names as written and unfolded values, up to the first line that is no header."""
        fields, at = [], len(self._head) - len(self._head.lstrip())
        while match := _FIELD.match(self._head, at):
            fields.append((match[1].decode(), _FOLDS.sub("", match[2].decode("utf-8", "replace")).strip()))
            at = match.end()
        if at < len(self._head):
            self.defects.append("headers: a line that is no header ends them")
        return fields

    @lazy
    def _names(self) -> frozenset[str]:
        written = self._decoded or (name for name, _ in self._fields)
        return frozenset(name.strip().lower() for name in written)

    def _is_once(self, name: bytes) -> bool:
        """Whether just one header begins so: of several, in whatever case, all of us must take the first."""
        lowered = self._head.lower()
        return lowered.startswith(name) + lowered.count(b"\n" + name) == 1

    def _first(self, name: str) -> str:
        """The first header of this name, unfolded but not decoded; empty without one."""
        wanted = name.lower()
        if wanted not in self._names:
            return ""
        return next((value for written, value in self._fields if written.lower() == wanted), "")

    @lazy
    def headers(self) -> CIMultiDictProxy[str]:
        """Every header in its order, decoded; looked up in any case."""
        return CIMultiDictProxy(CIMultiDict((name, words_decoded(value)) for name, value in self._fields))

    @lazy
    def subject(self) -> str:
        """The first Subject; empty without one."""
        subject = self._decoded.get("Subject", _NONE)[0] if self._is_once(b"subject") else ""
        if not subject or is_doubtful(subject):
            return words_decoded(self._first("Subject"))
        return one_line(subject)

    @lazy
    def from_(self) -> Address | None:
        """The first address in From."""
        written = self._decoded.get("From", _NONE)[0] if self._is_once(b"from") else ""
        if match := _ONE_ADDRESS.fullmatch(written):
            quoted, name, address, alone = match.groups("")
            if not is_doubtful(quoted or name):
                return Address(one_line(quoted or name).strip(), address or alone)
        addresses = self._checked("From", lambda fast: [fast.from_] if fast.from_ else [])
        return addresses[0] if addresses else None

    @lazy
    def to(self) -> list[Address]:
        """The addresses in To."""
        return self._checked("To", lambda fast: fast.to)

    @lazy
    def cc(self) -> list[Address]:
        """The addresses in Cc."""
        return self._checked("Cc", lambda fast: fast.cc)

    @lazy
    def bcc(self) -> list[Address]:
        """The addresses in Bcc."""
        return self._checked("Bcc", lambda fast: fast.bcc)

    @lazy
    def reply_to(self) -> list[Address]:
        """The addresses in Reply-To."""
        return self._checked("Reply-To", lambda fast: fast.reply_to)

    def _checked(
        self, name: str, of: Callable[[fast_mail_parser.PyMailMetadata], list[fast_mail_parser.PyAddress]]
    ) -> list[Address]:
        """What was found, or what the stdlib finds in a header that was not understood or badly decoded."""
        written = self._first(name)
        if not written:
            return []
        value = _ROUTE.sub("<", written)
        # Old programs put the name behind the address, in a comment, which only the stdlib reads.
        if value == written and "(" not in value:
            found = of(self._fast) if self._fast else []
            if found and all(map(_is_certain, found)):
                return [Address(one_line(each.display_name or ""), each.address) for each in found]
        addresses = _addresses(value[:_ADDRESSES_CHARS_MAX])
        if len(value) > _ADDRESSES_CHARS_MAX or (not addresses and "@" in value):
            self.defects.append(f"{name}: not all addresses can be read")
        return addresses

    @lazy
    def date(self) -> datetime | None:
        """The Date header in UTC, one without a zone as if it were; None if it cannot be read."""
        value = self._first("Date")
        if not value:
            return None
        fast = self._fast
        found = _or(None, lambda: fast.date_parsed if fast else None)  # a year beyond 9999, by its zone
        if found is not None:
            return found
        found = _or(None, lambda: _in_utc(_date(value[:200])))
        if found is None:
            self.defects.append(f"Date: {one_line(value[:60])!r} cannot be read")
        return found


def _is_certain(found: fast_mail_parser.PyAddress) -> bool:
    """Whether Rust has read it as it was meant: not, say, quotes in the middle of a name, or two commas."""
    name = found.display_name or ""
    return '"' not in name and not is_doubtful(name) and _PLAIN_ADDRESS.fullmatch(found.address) is not None


def _addresses(value: str) -> list[Address]:
    nobody: list[tuple[str, str]] = []
    pairs = _or(nobody, lambda: email.utils.getaddresses([value]))
    # A word alone is an account of the server itself, e.g. root; several are no address.
    local = "@" not in value and len(value.split()) == 1
    return [
        Address(words_decoded(name), one_line(address))
        for name, address in pairs
        if "@" in address or (local and address)
    ]


def _date(value: str) -> datetime:
    """Raises ValueError or TypeError for what is no date; ISO 8601 is what careless programs write."""
    try:
        return email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return datetime.fromisoformat(value)


def _in_utc(date: datetime) -> datetime:
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _or(default: _T, read: Callable[[], _T]) -> _T:
    """Take what `read` gives; the stdlib raises many types on hostile input, all mean "unreadable"."""
    try:
        return read()
    except (ValueError, OverflowError, OSError, LookupError, TypeError, AttributeError, RecursionError):
        return default
