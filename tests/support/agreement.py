"""Compares what `Email` says of a mail with what the stdlib alone says of it."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from fastmail_ingest.model.mime import Address
from fastmail_ingest.testing import sound_mail
from support.corpora import KEPT, kept_mails
from support.everything import email_of
from support.stdlib_reading import Reading, stdlib_reading
from support.well_formed import flaws

_LINE_END = re.compile(rb"\r?\n")


class Compared:
    """One mail; `name` is its file, or its number."""

    def __init__(self, name: str, raw: bytes) -> None:
        """A mail server gives lines that end in CRLF (RFC 5322, 2.1), so that is what both read."""
        self.name = name
        self.raw = _LINE_END.sub(b"\r\n", raw)

    @cached_property
    def ours(self) -> Reading:
        return our_reading(self.raw)

    @cached_property
    def theirs(self) -> Reading:
        return stdlib_reading(self.raw)

    @cached_property
    def flaws(self) -> list[str]:
        return flaws(self.raw)

    @cached_property
    def differences(self) -> list[str]:
        """The fields in which the two are not equal."""
        return [name for name in Reading._fields if getattr(self.ours, name) != getattr(self.theirs, name)]

    def differs_only(self, field: str) -> bool:
        return self.differences == [field]


def our_reading(raw: bytes) -> Reading:
    """What `Email` says; how headers are folded does not matter, so that white space in them is single."""
    email = email_of(raw)
    return Reading(
        subject=_single(email.subject),
        sender=email.sender,
        sender_name=_single(email.sender_name),
        to=list(map(_pair, email.to)),
        cc=list(map(_pair, email.cc)),
        text=email.text,
        html=email.html,
        names=[_single(each.raw_filename) for each in email.attachments],
        types=[each.content_type for each in email.attachments],
        contents=[each.content() for each in email.attachments],
    )


def _pair(address: Address) -> tuple[str, str]:
    return _single(address.name), address.address


def _single(text: str) -> str:
    return " ".join(text.split())


def kept() -> list[Compared]:
    """The mails that come with the repository, each named by its path."""
    return of_files(kept_mails(), KEPT)


def of_files(paths: list[Path], root: Path) -> list[Compared]:
    """Mails of any directory."""
    return [Compared(str(path.relative_to(root)), path.read_bytes()) for path in paths]


def made(seed: int, count: int) -> Iterator[Compared]:
    """Made-up ones, whose parts and charsets are all sound."""
    for number in range(count):
        yield Compared(f"sound mail {number}", sound_mail(seed, number).raw)
