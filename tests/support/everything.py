"""Reads all that an `Email` has to say, as no honest handler would."""

import io
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from multidict import CIMultiDictProxy

from fastmail_ingest.model.email import Email
from fastmail_ingest.model.envelope import CODEC_VERSION, Envelope
from fastmail_ingest.model.identity import content_hash

_PIECE_BYTES = 65536


def email_of(raw: bytes, uid: int = 1) -> Email:
    """An Email as a worker makes it."""
    return Email(
        Envelope(
            version=CODEC_VERSION, id=f"a:INBOX:1:{uid}", account="a", mailbox="INBOX", uid_validity=1, uid=uid, flags=(),
            labels=(), thread_id="", internal_date=1.5e9, size=len(raw), content_hash=content_hash(raw), fetched_at=1.6e9,
            trace_id="0" * 32, raw=raw,
        )
    )  # fmt: skip


def read_everything(email: Email) -> int:
    """Read every property, attachment and piece; returns how many values were seen.

    Raises AssertionError for a value that no handler could use: a text that cannot be encoded, a type that nobody
    expects.
    """
    seen = sum(_look(getattr(email, name)) for name in _properties(email))
    seen += _look(email.header("subject")) + _look(email.header("x-not-there", "-")) + _look(repr(email))
    with email.open() as file:
        while piece := file.read(_PIECE_BYTES):
            seen += _look(piece)
    return seen


def _properties(thing: object) -> list[str]:
    return [
        name
        for name in dir(type(thing))
        if not name.startswith("_") and not callable(getattr(type(thing), name))
    ]


def _look(value: Any) -> int:
    """Go through a value to its ends."""
    match value:
        case None | bool() | int() | float() | bytes() | datetime() | Enum():
            return 1
        case str():
            value.encode()  # half a surrogate pair would raise: no database takes it
            return 1
        case CIMultiDictProxy() | dict():
            return sum(_look(key) + _look(each) for key, each in value.items())
        case list() | tuple() | set() | frozenset():
            return sum(_look(each) for each in value)
        case io.IOBase():
            value.close()
            return 1
    return _look_at_struct(value)


def _look_at_struct(value: object) -> int:
    """What a value of our own has to say, the content of an attachment included."""
    assert type(value).__module__.startswith("fastmail_ingest."), f"{type(value)} reaches the handler"
    names = set(_properties(value))
    if isinstance(value, msgspec.Struct):
        names |= set(value.__struct_fields__)
    values = [each for name in names if not callable(each := getattr(value, name))]
    content = getattr(value, "content", None)
    if callable(content):
        assert isinstance(content(), bytes)
    _look(repr(value))
    return 1 + sum(_look(each) for each in values)
