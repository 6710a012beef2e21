"""The handler "maildir": each mail as a file, as it came."""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from imapclient import imap_utf7

from fastmail_ingest.config.boxed_files import MaildirConfig
from fastmail_ingest.handler.place import PRIVATE_FILE, check_directory, make_directory, sync_directory
from fastmail_ingest.model.email import Email
from fastmail_ingest.model.handler import batch_handler

_SETTING = "[maildir] directory"
_OURS = ".fastmail-ingest"
_NAME_DIGITS = 32
_FOLDER_BYTES_MAX = 200  # a name may have 255 bytes (NAME_MAX)
_ABANDONED_S = 36 * 3600  # so old may a file in tmp become (https://cr.yp.to/proto/maildir.html)
_SUBFOLDERS = ("tmp", "new", "cur")
# In the order that Maildir readers expect: that of ASCII.
_FLAGS = (("\\draft", "D"), ("\\flagged", "F"), ("\\answered", "R"), ("\\seen", "S"), ("\\deleted", "T"))


class Maildir:
    """Writes each mail into a Maildir: under a name in tmp, then renamed into new (or cur).

    Guarantee: exactly one file a mail, whole or not there, whoever is killed whenever: its name follows
    from the mail's id, so that a second time replaces the first. A mail is done when its file is on disk.
    A reader may move, flag or rename files behind the colon as Maildir readers do. Who removes a file should
    know: if its mail comes again (`attempt` above 1), the file does.
    """

    def __init__(self, section: MaildirConfig) -> None:
        self._root = Path(section.directory)
        check_directory(_SETTING, self._root)
        self._section = section
        self._made: set[Path] = set()

    def startup(self) -> None:
        """Make the Maildir, and remove what crashes left in tmp long ago; raises OSError."""
        self._make(self._root)
        before = time.time() - _ABANDONED_S
        for folder in (self._root, *self._root.glob(".*")):
            for path in folder.glob(f"tmp/*{_OURS}*"):
                if path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)

    @batch_handler
    def __call__(self, emails: Sequence[Email]) -> None:
        """Write the files; on disk when it returns."""
        changed: set[Path] = set()
        read: dict[Path, set[str]] = {}
        for email in emails:
            folder = self._folder(email)
            self._make(folder)
            name = _name(email)
            if email.attempt > 1 and name in read.setdefault(folder, _names_in(folder / "cur")):
                continue  # a reader has it already
            flags = _flags(email) if self._section.flags else ""
            target = folder / "cur" / f"{name}:2,{flags}" if flags else folder / "new" / name
            _write(email, folder / "tmp" / f"{name}.{secrets.token_hex(4)}", target)
            changed.add(target.parent)
        for directory in changed:
            sync_directory(directory)

    def _folder(self, email: Email) -> Path:
        if self._section.folders == "one":
            return self._root
        names = [email.account]
        if self._section.folders == "mailbox":
            names += [part for part in email.mailbox.split("/") if part]
        return self._root / _folder_name(names)

    def _make(self, folder: Path) -> None:
        if folder in self._made:
            return
        for directory in (self._root, folder, *(folder / name for name in _SUBFOLDERS)):
            make_directory(directory)
        if folder != self._root:
            # Tells delivery agents that this is a folder of the Maildir above (Maildir++).
            (folder / "maildirfolder").touch(mode=PRIVATE_FILE)
        sync_directory(folder)
        sync_directory(folder.parent)
        self._made.add(folder)


def _write(email: Email, temporary: Path, target: Path) -> None:
    """Put the mail's bytes on disk, then under their name; a large mail goes through in pieces."""
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        with email.open() as source, os.fdopen(descriptor, "wb") as out:
            shutil.copyfileobj(source, out)
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _name(email: Email) -> str:
    """A file name that is always the same for this mail; the time in front is for those who sort by it."""
    received = email.internal_date
    seconds = int(received.timestamp()) if received is not None else 0
    return f"{seconds}.{hashlib.sha256(email.id.encode()).hexdigest()[:_NAME_DIGITS]}{_OURS}"


def _names_in(directory: Path) -> set[str]:
    """Names of files without what readers write behind the colon."""
    return {entry.name.partition(":")[0] for entry in os.scandir(directory)}


def _flags(email: Email) -> str:
    """IMAP's flags as a Maildir's."""
    present = {flag.lower() for flag in email.flags}
    return "".join(letter for flag, letter in _FLAGS if flag in present)


def _folder_name(names: Sequence[str]) -> str:
    """The folder's name in Maildir++: parts behind dots, in modified UTF-7 (RFC 3501 5.1.3)."""
    parts = [re.sub(r"[./\x00-\x1f\x7f]", "_", part) for part in names]
    name = "." + ".".join(imap_utf7.encode(part).decode() for part in parts)
    if len(name) <= _FOLDER_BYTES_MAX:
        return name
    return f"{name[:_FOLDER_BYTES_MAX]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
