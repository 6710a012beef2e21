"""The handler "jsonl": a line of JSON for each mail."""

import base64
import threading
import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import msgspec
import orjson

from fastmail_ingest.config.boxed_files import JsonlConfig
from fastmail_ingest.handler.line_files import LineFiles, Rotation
from fastmail_ingest.handler.place import check_directory
from fastmail_ingest.handler.record import clean, record_of
from fastmail_ingest.model.email import Address, Email
from fastmail_ingest.model.handler import batch_handler

_SETTING = "[jsonl] directory"


class Jsonl:
    """Appends one line a mail to files that rotate; lines appear in the order in which mails were handled.

    Guarantee: exactly one line a mail, whoever is killed whenever, and no torn line between others: what a
    kill left unfinished at the end of a file is cut off before the next line. A mail is done when its line
    is on disk. An index in the same directory knows which mails have a line, for `[ledger] keep_days`;
    if it is lost, it is made anew from the files that are there. Files may be taken away, never edited.
    """

    def __init__(self, section: JsonlConfig, keep_days: int) -> None:
        directory = Path(section.directory)
        check_directory(_SETTING, directory)
        self._section = section
        rotation = Rotation(section.rotate_bytes, section.rotate_daily, keep_days)
        self._files = LineFiles(_SETTING, directory, rotation)
        self._lock = threading.Lock()

    def startup(self) -> None:
        """Open the files, and mend what a crash left; raises ConfigError, OSError or sqlite3.Error."""
        with self._lock:
            self._files.open()

    def shutdown(self) -> None:
        """Close the files."""
        with self._lock:
            self._files.close()

    @batch_handler
    def __call__(self, emails: Sequence[Email]) -> None:
        """Write a line for each mail that has none yet; on disk when it returns."""
        # Made before the index is locked: other workers make theirs meanwhile. Of copies: what is parsed of a
        # mail goes away with it, not with the batch.
        lines = [(clean(email.id), self._line(copy(email))) for email in emails]
        with self._lock:
            self._files.append(lines, time.time())

    def _line(self, email: Email) -> bytes:
        record = record_of(email, text=self._section.text != "none")
        shown: dict[str, Any] = msgspec.structs.asdict(record)
        shown |= {"to": _people(email.to), "cc": _people(email.cc)}
        text, classification = shown.pop("text"), shown.pop("classification")
        if self._section.text == "whole":
            shown["text"] = text
        elif self._section.text == "preview":
            shown["preview"] = clean(email.preview)
        shown["attachments"] = [
            {"filename": clean(each.filename), "content_type": clean(each.content_type)}
            for each in email.attachments
        ]
        if classification is not None:
            shown["classification"] = msgspec.structs.asdict(classification)
        if self._section.raw:
            shown["raw"] = base64.b64encode(email.raw).decode()
        return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _people(addresses: Sequence[Address]) -> list[dict[str, str]]:
    return [{"name": clean(each.name), "address": clean(each.address)} for each in addresses]
