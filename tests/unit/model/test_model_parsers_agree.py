"""What `Email` says of a mail is what the stdlib's compat32 parser says of it, but for what is listed here.

Well-formed mails (`support/well_formed.py`) agree in each field; each exception is named, with its reason and its
mails. Of damaged mails there is no right reading: their differences are listed by kind.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from support.agreement import Compared, kept, made, of_files
from support.corpora import MORE, mails_in

SEED = 5
MADE = 2000


class Exempt(NamedTuple):
    """Well-formed mails of which we say something else, and why; `is_it` looks at the two readings of a field."""

    reason: str
    mails: tuple[str, ...]
    fields: tuple[str, ...]
    is_it: Callable[..., bool]


def without_white_line_ends(text: str) -> str:
    return re.sub(r"[ \t]+(?=\r\n|\Z)", "", text)


EXEMPT = {
    "white space at the end of a line": Exempt(
        "RFC 2045, 6.7, rule 3: in quoted-printable it was added on the way and must be deleted; the stdlib keeps it.",
        ("talon/sparrow.eml",),
        ("text", "html"),
        lambda ours, theirs: without_white_line_ends(ours) == without_white_line_ends(theirs),
    ),
    "file names in UTF-8": Exempt(
        "RFC 6532, 3.2, lets headers be UTF-8; compat32 makes replacement characters of it in parameters.",
        (
            "django-mailbox/message_with_not_decoded_attachment_header.eml",
            "enmime/mail/mime-bad-8bit-filename.raw",
        ),
        ("names",),
        lambda ours, theirs: "\ufffd" in "".join(theirs) and "\ufffd" not in "".join(ours),
    ),
    "UTF-8 that is called ISO-8859-1": Exempt(
        "Any bytes are ISO-8859-1, but hardly any are UTF-8 by accident; browsers sniff for it, too (WHATWG Encoding, 4.2: "
        "the label means windows-1252, of which the same is true).",
        ("django-mailbox/message_with_utf8_char.eml",),
        ("text", "html"),
        lambda ours, theirs: theirs.encode("latin-1", "replace") == ours.encode(),
    ),
}


class Kind(NamedTuple):
    """Damaged mails which we read otherwise: those with such a flaw, in such a field."""

    reason: str
    flaw: str
    fields: tuple[str, ...]
    mails: tuple[str, ...]


KINDS = {
    "a container without parts": Kind(
        "What is in it is text to us, so that a person can see it; the stdlib gives it as a multipart, which no handler looks at.",
        "StartBoundaryNotFoundDefect|NoBoundaryInMultipartDefect",
        ("text",),
        (
            "cpython/msg_17.txt", "cpython/msg_25.txt", "cpython/msg_31.txt", "cpython/msg_41.txt",
            "mail-parser/mail_malformed_3", "mime4j/ending-boundaries.msg", "mime4j/missing-boundary.msg",
            "mime4j/missing-inner-boundary.msg", "mime4j/missing-inner-start-boundary.msg", "mime4j/multipartnopart.msg",
            "rspamd/btc.eml", "rspamd/btc2.eml", "rspamd/btc3.eml", "rspamd/btc4.eml", "rspamd/external_relay.eml",
            "rspamd/freemailcc.eml", "rspamd/phish_sender.eml", "rspamd/phish_sender3.eml", "rspamd/phish_sender5.eml",
            "rspamd/phish_sender6.eml",
        ),
    ),
    "text in another charset than it says": Kind(
        "Its charset is guessed (chardetng, as in Firefox) where the label is missing, unknown or impossible; "
        "the stdlib has replacement characters.",
        "charset: ",
        ("text", "html"),
        (
            "django-mailbox/email_issue_82.eml", "django-mailbox/message_with_invalid_content_for_declared_encoding.eml",
            "enmime/low-quality/incorrect-charset.raw", "enmime/mail/non-mime-missing-charset.raw",
            "enmime/parts/chardet-fail.raw", "enmime/parts/chardet-success-big-5.raw",
            "enmime/parts/chardet-success-iso-8859-1.raw", "flufl.bounce/qmail_08.txt", "flufl.bounce/simple_25.txt",
            "mail-parser/mail_test_12", "mail-parser/mail_test_9", "mime4j/obsolete.msg", "rspamd/url8.eml",
        ),
    ),
    "headers in a charset that nobody names": Kind(
        "They are guessed as text is; the stdlib has replacement characters.",
        "neither ASCII nor UTF-8",
        ("subject",),
        ("django-mailbox/message_with_single_byte_extended_subject_encoding.eml", "flufl.bounce/sina_01.txt"),
    ),
    "encoded-words against RFC 2047, 5": Kind(
        "In the middle of other words they are decoded without the space that the stdlib puts there; GB 2312 is read as "
        "its extension GB 18030 (WHATWG Encoding, 4.2).",
        "Subject: a word that",
        ("subject",),
        ("mail-parser/mail_test_9",),
    ),
    "a type without its semicolon": Kind(
        "What begins as a media type is one (application/pdf name=...); the stdlib takes all of it for the type.",
        "Only parameters are valid after content type",
        ("types",),
        ("enmime/mail/mime-bad-content-type.raw", "enmime/mail/mime-blank-media-name.raw"),
    ),
    "no boundary at the end": Kind(
        "It is not certain which line ends, and which lines that look like boundaries, belong to the last part.",
        "CloseBoundaryNotFoundDefect",
        ("text", "html", "contents"),
        (
            "enmime/low-quality/bad-final-boundary.raw", "enmime/parts/badboundary.raw",
            "enmime/parts/multimixed-no-closing-boundary.raw", "flufl.bounce/dsn_03.txt",
        ),
    ),
    "headers that do not end": Kind(
        "A line among the headers that is none, or a folded first line: the stdlib takes it and all behind it for the body; "
        "we go on to the blank line.",
        "MissingHeaderBodySeparatorDefect|FirstHeaderLineIsContinuationDefect",
        ("subject", "sender", "sender_name", "text", "html", "names", "contents"),
        (
            "enmime/low-quality/bad-header-start.raw", "mime4j/obsolete.msg",
        ),
    ),
    "addresses against RFC 5322, 3.4": Kind(
        "The address is what is between < and >, be there another before it or a route in it; words without @ among "
        "addresses are none to us.",
        "(From|To|Cc): (Invalid|Obsolete)HeaderDefect",
        ("sender", "sender_name", "to", "cc"),
        (
            "flufl.bounce/simple_35.txt", "mail-parser/mail_test_19", "mime4j/basic-plain-very-long-lines.msg",
            "mime4j/basic-plain-with-bad-header-separator.msg", "mime4j/basic-plain.msg", "rspamd/phish_sender6.eml",
        ),
    ),
    "quoted-printable against RFC 2045, 6.7": Kind(
        "White space at the end of its lines is deleted.", "no quoted-printable", ("text", "html", "contents"), ()
    ),
}  # fmt: skip


def exempt(mail: Compared, field: str) -> str | None:
    ours, theirs = getattr(mail.ours, field), getattr(mail.theirs, field)
    return next(
        (name for name, each in EXEMPT.items() if field in each.fields and each.is_it(ours, theirs)), None
    )


def kind(mail: Compared, field: str) -> str | None:
    """The first kind that explains it."""
    for name, each in KINDS.items():
        if field in each.fields and any(re.search(each.flaw, flaw) for flaw in mail.flaws):
            return name
    return None


def explained(
    mails: Iterable[Compared], explain: Callable[[Compared, str], str | None]
) -> dict[str, set[str]]:
    """The mails that differ, by what explains it; those that nothing explains are under "", each with its field."""
    found = defaultdict(set)
    for mail in mails:
        for field in mail.differences:
            name = explain(mail, field)
            found[name or ""].add(mail.name if name else f"{mail.name}: {field}")
    return found


@pytest.fixture(scope="module")
def mails() -> list[Compared]:
    return kept()


@pytest.fixture(scope="module")
def more() -> list[Compared]:
    return of_files(mails_in(MORE), MORE)


def test_well_formed_mails_are_read_alike_but_for_what_is_listed(mails: list[Compared]) -> None:
    well_formed = [mail for mail in mails if not mail.flaws]
    assert len(well_formed) > 300
    assert explained(well_formed, exempt) == {name: set(each.mails) for name, each in EXEMPT.items()}


def test_made_up_mails_are_read_alike() -> None:
    mails = list(made(SEED, MADE))
    assert explained(mails, exempt) == {}
    assert not any(mail.flaws for mail in mails[::50])


def test_other_well_formed_mails_are_read_alike_but_for_such_exceptions(more: list[Compared]) -> None:
    assert explained((mail for mail in more if not mail.flaws), exempt).get("", set()) == set()


def test_the_differences_in_damaged_mails_are_of_these_kinds(mails: list[Compared]) -> None:
    damaged = [mail for mail in mails if mail.flaws]
    listed = {name: set(each.mails) for name, each in KINDS.items() if each.mails}
    assert explained(damaged, kind) == listed


def test_the_differences_in_other_damaged_mails_are_told(more: list[Compared]) -> None:
    """Nobody knows these mails beforehand; a new kind of difference is news, not a failure."""
    found = explained((mail for mail in more if mail.flaws), kind)
    if unexplained := sorted(found.pop("", ())):
        warnings.warn(
            f"read otherwise than by the stdlib: {', '.join(unexplained)}", UserWarning, stacklevel=1
        )
    assert sum(map(len, found.values())) <= len(more)
