"""The mails of others: those kept under tests/corpora, and those that scripts/more_corpora puts beside them."""

import os
from pathlib import Path

KEPT = Path(__file__).parent.parent / "corpora"
# Under licences that do not let us copy them, or too large to keep.
MORE = Path(os.environ.get("FASTMAIL_INGEST_CORPORA", KEPT / "more"))
_NO_MAILS = frozenset({"LICENSE", "NOTICE", "README.md", ".gitattributes"})


def mails_in(directory: Path) -> list[Path]:
    """All mails in a directory and below, by name."""
    found = directory.rglob("*") if directory.is_dir() else ()
    return sorted(path for path in found if path.is_file() and path.name not in _NO_MAILS)


def sources() -> list[Path]:
    """The directories that hold one source's mails each: the kept ones, then the others."""
    more = MORE.iterdir() if MORE.is_dir() else ()
    kept = (path for path in KEPT.iterdir() if path not in (MORE, KEPT / "more"))
    return sorted(path for path in kept if path.is_dir()) + sorted(path for path in more if path.is_dir())


def kept_mails() -> list[Path]:
    """All mails that come with the repository."""
    return [mail for source in sources() if source.parent == KEPT for mail in mails_in(source)]
