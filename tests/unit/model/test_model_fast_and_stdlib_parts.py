"""Our two readings of the MIME tree, by fast-mail-parser and by the stdlib, find the same parts: one steps in for the other.

Where they do not, the kind of difference is listed with its reason and its mails.
"""

import re
from collections import defaultdict
from typing import NamedTuple

import fast_mail_parser
from support.agreement import Compared, kept, made

from fastmail_ingest.model.mime.bounds import bounded
from fastmail_ingest.model.mime.fast_parts import fast_parts
from fastmail_ingest.model.mime.part import Part, Undecodable
from fastmail_ingest.model.mime.stdlib_parts import stdlib_parts

SEED = 6
MADE = 1000


class Seen(NamedTuple):
    """What a part says; None for a content that this reading leaves to the other."""

    content_type: str
    charset: str
    disposition: str
    filename: str
    content_id: str
    content: bytes | None


class Kind(NamedTuple):
    reason: str
    flaw: str  # what the stdlib calls defects; "" in well-formed mails, too
    fields: tuple[str, ...]
    mails: tuple[str, ...]


KINDS = {
    "file names in UTF-8": Kind(
        "The stdlib makes replacement characters of what RFC 6532, 3.2, allows.",
        "",
        ("filename",),
        (
            "django-mailbox/message_with_not_decoded_attachment_header.eml",
            "enmime/mail/mime-bad-8bit-filename.raw",
        ),
    ),
    "white space at the end of a line": Kind(
        "RFC 2045, 6.7, rule 3: in quoted-printable it must be deleted; the stdlib keeps it.",
        "",
        ("content",),
        ("talon/sparrow.eml",),
    ),
    "no boundary at the end": Kind(
        "It is not certain which line end belongs to the last part, nor whether a line that looks like a boundary is one.",
        "CloseBoundaryNotFoundDefect",
        ("content", "number"),
        (
            "cpython/msg_38.txt", "enmime/low-quality/bad-final-boundary.raw", "enmime/parts/badboundary.raw",
            "enmime/parts/multimixed-no-closing-boundary.raw", "flufl.bounce/dsn_03.txt", "mime4j/very-long-boundary.msg",
            "mime4j/very-very-long-boundary.msg", "mime4j/weird-boundary.msg", "rspamd/badboundary.eml",
        ),
    ),
    "headers that do not end": Kind(
        "The stdlib takes a line that is no header, and all behind it, for the body; the other goes on to the blank line.",
        "MissingHeaderBodySeparatorDefect",
        ("content", "disposition", "filename"),
        ("cpython/msg_47.txt", "enmime/low-quality/bad-header-wrap.raw", "mime4j/obsolete.msg"),
    ),
    "no parts between the boundaries": Kind(
        "The stdlib has the text before the last boundary, the other what is behind it.",
        "StartBoundaryNotFoundDefect",
        ("content",),
        ("mime4j/ending-boundaries.msg", "mime4j/multipartnopart.msg"),
    ),
    "a quote without end": Kind(
        "Where the charset ends is anybody's guess.",
        "end of header inside quoted string",
        ("charset",),
        ("enmime/parts/missing-closing-param-quote.raw",),
    ),
}  # fmt: skip

# Where fast-mail-parser sees a container without parts, the stdlib is asked; in these well-formed mails for nothing, or
# since a boundary begins like the one around it (RFC 2046, 5.1.1, warns of that).
LEFT_TO_THE_STDLIB = {
    "cpython/msg_24.txt", "enmime/parts/similar-boundary.raw", "mime4j/boundary-name-clash.msg",
    "mime4j/multipartnestedemptypartsnorfc822.msg",
}  # fmt: skip


def by_fast_mail_parser(whole: bytes) -> list[Seen] | None:
    """None if it is left to the stdlib."""
    try:
        tree = fast_mail_parser.parse_email_tree(whole, mode="lazy")
        return list(map(_seen, fast_parts(tree, whole))) or None
    except (fast_mail_parser.ParseError, Undecodable):
        return None


def by_stdlib(whole: bytes) -> list[Seen]:
    return list(map(_seen, stdlib_parts(whole, [])))


def _seen(part: Part) -> Seen:
    try:
        content = part.read()
    except Undecodable:
        content = None
    charset = part.charset.lower() if part.is_text else ""  # that of others nobody asks for
    return Seen(part.content_type, charset, part.disposition, part.filename, part.content_id, content)


def differences(one: list[Seen], other: list[Seen]) -> set[str]:
    """The fields that are not equal; contents that are left to the stdlib are its own."""
    if len(one) != len(other):
        return {"number"}
    pairs = zip(one, other, strict=True)
    return {
        field
        for left, right in pairs
        for field, ours, theirs in zip(Seen._fields, left, right, strict=True)
        if ours != theirs and ours is not None
    }


def kind(mail: Compared, field: str) -> str | None:
    """The first that explains it, the flaws of damaged mails before what well-formed ones may have."""
    for name, each in sorted(KINDS.items(), key=lambda item: not item[1].flaw):
        if field in each.fields and (not each.flaw or any(re.search(each.flaw, flaw) for flaw in mail.flaws)):
            return name
    return None


def test_both_find_the_same_parts_but_for_what_is_listed() -> None:
    found = defaultdict(set)
    left = set()
    for mail in kept():
        whole = bounded(mail.raw).whole
        parts = by_fast_mail_parser(whole)
        if parts is None:
            left |= set() if mail.flaws else {mail.name}
            continue
        for field in differences(parts, by_stdlib(whole)):
            found[kind(mail, field)].add(mail.name)
    assert found == {name: set(each.mails) for name, each in KINDS.items()}
    assert left == LEFT_TO_THE_STDLIB


def test_both_find_the_same_parts_in_made_up_mails() -> None:
    for mail in made(SEED, MADE):
        parts = by_fast_mail_parser(mail.raw)
        assert parts is not None, mail.name
        assert differences(parts, by_stdlib(mail.raw)) == set(), mail.name
