"""Dead letters as they may be looked at: who has no token sees why a mail died, but nothing that it says."""

import re
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from fastmail_ingest.admin.answers import Refused
from fastmail_ingest.errors import BlobUnavailable, ConfigError, UndecodableEntry
from fastmail_ingest.model.email import Address, Email
from fastmail_ingest.stream.dead_letters import DeadLetters
from fastmail_ingest.stream.letter import DeadLetter, LetterFilter

PAGE_MAX = 200
# One request reads so many letters at the most; the next one goes on where it ended.
LOOKED_AT_MAX = 2000
LOOK_FOR_S = 2.0
CHANGED_MAX = 1000
# Of a large mail the beginning is parsed: the rest is there to be exported.
PARSED_MAX_BYTES = 8 * 1024 * 1024
TEXT_MAX_CHARS = 100_000
ATTACHMENTS_MAX = 200
LETTER_ID = re.compile(r"\d{1,19}-\d{1,19}")
_HISTORY = ("failures", "returns", "deaths", "replays")


class Meant(LetterFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A filter in a request: a misspelled condition must not mean all letters."""


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters a request means: these, by id, or those that the filter takes."""

    ids: list[str] | None = None
    filter: Meant | None = None


class Search(Struct, frozen=True):
    """Which letters are to be listed: `text` stands in what is shown of them, older than `before`."""

    wanted: LetterFilter
    limit: int
    before: str = ""
    text: str = ""


class Letters:
    """The dead letters of a stream. Blocks: to be called in a thread; raises what `DeadLetters` raises."""

    def __init__(self, dead: DeadLetters) -> None:
        self._dead = dead

    def page(self, search: Search, *, content: bool) -> dict[str, Any]:
        """Some letters, newest first, and `next`, the id to go on before; None after the last."""
        listed: list[dict[str, Any]] = []
        looked_at, last, ends_at = 0, "", time.monotonic() + LOOK_FOR_S
        text = search.text.casefold()
        ended = True
        for letter in self._dead.find(search.wanted, newest_first=True, before=search.before):
            if len(listed) >= search.limit or looked_at >= LOOKED_AT_MAX or time.monotonic() > ends_at:
                ended = False
                break
            looked_at, last = looked_at + 1, letter.id
            facts = _listed(letter, content=content)
            if not text or any(text in each.casefold() for each in facts.values() if isinstance(each, str)):
                listed.append(facts)
        return {
            "total": len(self._dead),
            "content": content,
            "letters": listed,
            "next": None if ended else last,
        }

    def view(self, name: str) -> dict[str, Any]:
        """One letter with the text of its mail: no HTML, attachments by name and size only."""
        letter = self._dead.show(_letter_id(name))
        fields = {
            name.decode("utf-8", "backslashreplace"): value.decode("utf-8", "backslashreplace")
            for name, value in letter.fields
        }
        facts = _listed(letter, content=True) | {"traceback": letter.traceback, "fields": fields}
        return facts | {"mail": self._mail(letter)}

    def _mail(self, letter: DeadLetter) -> dict[str, Any] | None:
        if letter.envelope is None:
            return None
        try:
            with self._dead.open(letter.id) as file:
                raw = file.read(PARSED_MAX_BYTES)
        except (BlobUnavailable, UndecodableEntry) as error:
            return {"unavailable": str(error)}
        return _mail(
            Email(replace(letter.envelope, raw=raw, blob="")), whole=letter.envelope.size <= len(raw)
        )

    def replay(self, which: Which) -> dict[str, Any]:
        """Give letters to the handler again; `more` if there are others beyond what one request does."""
        ids, more = self._ids(which)
        replayed = self._dead.replay(ids) if ids else 0
        return {"replayed": replayed, "left_out": len(ids) - replayed, "more": more}

    def remove(self, which: Which) -> dict[str, Any]:
        """Remove letters for good, their mails count as done; `more` as in `replay`."""
        ids, more = self._ids(which)
        removed = self._dead.remove(ids) if ids else 0
        return {"removed": removed, "left_out": len(ids) - removed, "more": more}

    def open(self, name: str) -> BinaryIO:
        """The mail as it came, to be read and closed."""
        return self._dead.open(_letter_id(name))

    def close(self) -> None:
        """Close the connections."""
        self._dead.close()

    def _ids(self, which: Which) -> tuple[list[str], bool]:
        if (which.ids is None) == (which.filter is None):
            remedy = 'send {"ids": [...]} or {"filter": {"reason": ...}}; {"filter": {}} means all'
            raise Refused(400, "which", "expected ids or filter, one of the two", remedy)
        if which.ids is not None:
            if len(which.ids) > CHANGED_MAX:
                raise Refused(
                    400, "too_many", f"expected {CHANGED_MAX} ids at the most", "send several requests"
                )
            return _there(self._dead, which.ids), False
        ids: list[str] = []
        for letter in self._dead.find(which.filter, keep=0):
            if len(ids) >= CHANGED_MAX:
                return ids, True
            ids.append(letter.id)
        return ids, False


def _there(dead: DeadLetters, names: Sequence[str]) -> list[str]:
    """Those that are still there: somebody else may have been quicker with some of them."""
    found: list[str] = []
    for name in dict.fromkeys(map(_letter_id, names)):
        try:
            found += [letter.id for letter in dead.resolve([name])]
        except ConfigError:
            continue
    return found


def _letter_id(name: str) -> str:
    if LETTER_ID.fullmatch(name) is None:
        raise Refused(404, "no_letter", "no dead letter has this id", "GET /api/dead lists them")
    return name


def _listed(letter: DeadLetter, *, content: bool) -> dict[str, Any]:
    """What is known of a letter. Messages of exceptions quote mails, and so they count as content."""
    facts: dict[str, Any] = {
        "id": letter.id, "identity": letter.identity, "reason": letter.reason, "error": letter.error,
        "died_at": letter.died_at, "account": letter.account, "mailbox": letter.mailbox,
        "stored_bytes": letter.stored_bytes, "readable": letter.envelope is not None,
        **{name: getattr(letter, name) for name in _HISTORY},
    }  # fmt: skip
    if letter.envelope is not None:
        envelope = letter.envelope
        facts |= {"uid": envelope.uid, "size": envelope.size, "fetched_at": envelope.fetched_at}
    email = letter.email if content else None
    if content:
        facts["message"] = letter.message
    if email is not None:
        facts |= {"sender": email.sender, "sender_name": email.sender_name, "subject": email.subject}
    return facts


def _mail(email: Email, *, whole: bool) -> dict[str, Any]:
    text, attachments = email.body_text, email.attachments
    return {
        "from": _address(email.from_),
        "to": [_address(each) for each in email.to[:ATTACHMENTS_MAX]],
        "cc": [_address(each) for each in email.cc[:ATTACHMENTS_MAX]],
        "subject": email.subject,
        "date": email.date.timestamp() if email.date is not None else None,
        "message_id": email.message_id,
        "text": text[:TEXT_MAX_CHARS],
        "text_is_cut": len(text) > TEXT_MAX_CHARS or not whole,
        "attachments": [
            {
                "filename": each.filename, "size": each.size, "content_type": each.content_type,
                "inline": each.inline,
            }
            for each in attachments[:ATTACHMENTS_MAX]
        ],
        "attachments_are_cut": len(attachments) > ATTACHMENTS_MAX or not whole,
        "defects": email.defects[:ATTACHMENTS_MAX],
    }  # fmt: skip


def _address(address: Address | None) -> dict[str, str] | None:
    return {"name": address.name, "address": address.address} if address is not None else None
