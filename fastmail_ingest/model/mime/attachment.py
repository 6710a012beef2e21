"""A part that is not the text of a mail, and a name for it that a file may have."""

import os
import re
import unicodedata

from fastmail_ingest.model.mime.lazy import lazy
from fastmail_ingest.model.mime.parts import Parts

_NAME_BYTES_MAX = 200  # file systems take 255 bytes; a handler may add to the name
_RAW_NAME_CHARS_MAX = 1000
_SUFFIX = re.compile(r"\.[A-Za-z0-9_-]{1,16}\Z")
_NOT_IN_NAMES = re.compile(r'[<>:"|?*]')
# All other characters of format go, those that turn the direction of "exe.pdf" among them.
_JOINERS = "\u200c\u200d"  # parts of words and of emoji
# Windows opens its devices under these names, whatever the suffix.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|\Z)")


class Attachment:
    """A part that is not the text; its content is decoded when it is asked for, and kept with the mail."""

    def __init__(self, parts: Parts, number: int) -> None:
        part = parts.all[number]
        self._parts, self._number = parts, number
        self.content_type = part.content_type
        self.content_id = part.content_id
        self.inline = part.disposition == "inline" or (not part.disposition and bool(part.content_id))

    def __repr__(self) -> str:
        return f"<Attachment {self.filename!r} {self.content_type}{' inline' if self.inline else ''}>"

    def __getstate__(self) -> object:
        """No pickle takes it."""
        raise TypeError(
            "an attachment is a part of its mail and cannot be pickled. remedy: hand on filename and "
            "content(), or the Email"
        )

    @lazy
    def raw_filename(self) -> str:
        """The name as the sender wrote it, decoded, at most 1,000 characters; empty without one."""
        return self._parts.name(self._number)[:_RAW_NAME_CHARS_MAX]

    @lazy
    def filename(self) -> str:
        """The sender's name for it, made safe for a file: at most 200 bytes, no directory, nothing hidden.

        Empty if it has none; two parts may have the same.
        """
        return safe_filename(self._parts.name(self._number))

    def content(self) -> bytes:
        """The decoded bytes; of a damaged transfer encoding what can be decoded."""
        return self._parts.content(self._number)[0]

    @lazy
    def size(self) -> int:
        """Bytes of the content, which is decoded for it."""
        return len(self.content())

    @property
    def is_damaged(self) -> bool:
        """Whether its transfer encoding is damaged, so that some of it may be missing; decodes it."""
        return bool(self._parts.content(self._number)[1])


def safe_filename(name: str) -> str:
    """The last part of a path, without what a file system or a shell could take for something else."""
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(each for each in name if unicodedata.category(each)[0] != "C" or each in _JOINERS)
    name = _NOT_IN_NAMES.sub("_", " ".join(name.split())).lstrip(" .-~").rstrip(" .")
    if _DEVICES.match(name):
        name = f"_{name}"
    if len(name.encode()) <= _NAME_BYTES_MAX:
        return name
    suffix = _SUFFIX.search(name)
    kept = suffix[0] if suffix else ""
    stem = os.path.splitext(name)[0] if kept else name
    return stem.encode()[: _NAME_BYTES_MAX - len(kept)].decode("utf-8", "ignore").rstrip(" .") + kept
