"""Mails that are larger than Redis shall keep, and a handler that writes down what it reads of them."""

import hashlib
from pathlib import Path

INLINE = 64 * 1024  # the least that [blobs] inline_limit may be
BLOBS = f"inline_limit = {INLINE}"

HANDLER = """

    import hashlib, os

    def handle(email):
        digest = hashlib.sha256()
        with email.open() as file:
            while chunk := file.read(65536):
                digest.update(chunk)
        os.write(CALLS, f"{email.subject} {email.size} {digest.hexdigest()} {email.attempt}\\n".encode())
"""


def large_mail(number: int, size: int = 3_000_000) -> bytes:
    """A mail of exactly `size` bytes that is like no other."""
    head = b"From: a@example.org\r\nSubject: big%d\r\n\r\n" % number
    line = b"%08d of a mail that is large, and holds )\r\n* 9 FETCH ( as well\r\n" % number
    lines = line * (1 + (size - len(head)) // len(line))
    return (head + lines)[: size - 2] + b"\r\n"


def told(number: int, raw: bytes) -> str:
    """What HANDLER writes down of it, but for the attempt."""
    return f"big{number} {len(raw)} {hashlib.sha256(raw).hexdigest()}"


def files(directory: Path) -> list[Path]:
    """All files in a directory of blobs, drafts included."""
    return [path for path in (directory / "fastmail-ingest-blobs").rglob("*") if path.is_file()]
