"""Text in the charset it is in, whatever its label says."""

import pytest
from support.everything import email_of

from fastmail_ingest.model.mime.charset import codec_of, decoded

RUSSIAN = "Привет, это письмо на русском языке про нашу работу"
GERMAN = "Grüße aus München, schöne Straße für Füße"


@pytest.mark.parametrize(
    ("raw", "label", "text"),
    [
        (RUSSIAN.encode("cp1251"), "windows-1251", RUSSIAN),
        (RUSSIAN.encode("koi8-r"), "KOI8-R", RUSSIAN),
        (RUSSIAN.encode(), "utf8", RUSSIAN),
        (GERMAN.encode("latin-1"), "iso-8859-1", GERMAN),
        ("“dash” €".encode("cp1252"), "iso-8859-1", "“dash” €"),  # as browsers read it
        ("สวัสดี".encode("cp874"), "windows-874", "สวัสดี"),
        ("你好".encode("gb18030"), "eucgb2312_cn", "你好"),
        ("你好".encode("big5"), "big5_tw", "你好"),
        ("안녕".encode("cp949"), "ks_c_5601-1987", "안녕"),
        ("éü".encode("cp850"), "cp850", "éü"),
        ("éü".encode("utf-7"), "utf-7", "éü"),
        ("é".encode("utf-16"), "UTF-16", "é"),
        ("こんにちは".encode("iso-2022-jp"), "iso-2022-jp", "こんにちは"),
        (b"plain", "no-such-charset", "plain"),
    ],
)
def test_what_the_label_says(raw: bytes, label: str, text: str) -> None:
    assert decoded(raw, label) == (text, "")


@pytest.mark.parametrize(
    ("raw", "label", "text"),
    [
        (RUSSIAN.encode("cp1251"), "utf-8", RUSSIAN),
        (RUSSIAN.encode("koi8-r"), "", RUSSIAN),
        (GERMAN.encode("latin-1"), "us-ascii", GERMAN),
        (GERMAN.encode("latin-1"), "x-unknown", GERMAN),
        ("こんにちは、これは".encode("iso-2022-jp"), "us-ascii", "こんにちは、これは"),
        ("你好。这是一封中文邮件".encode("gb18030"), "utf-8", "你好。这是一封中文邮件"),
    ],
)
def test_what_the_label_should_have_said(raw: bytes, label: str, text: str) -> None:
    found, defect = decoded(raw, label)
    assert found == text
    assert defect.startswith("charset: ")


@pytest.mark.parametrize("label", ["", "us-ascii", "iso-8859-1", "x-unknown"])
def test_text_in_utf8_needs_no_label(label: str) -> None:
    assert decoded(RUSSIAN.encode(), label) == (RUSSIAN, "")


def test_a_damaged_letter_is_not_another_language() -> None:
    found, defect = decoded(RUSSIAN.encode()[:-1], "utf-8")
    assert found == RUSSIAN[:-1] + "\N{REPLACEMENT CHARACTER}"
    assert "1 characters are not 'utf-8'" in defect


@pytest.mark.parametrize("label", ["idna", "punycode", "rot13", "zlib_codec", "undefined", "unicode_escape", "hex",
                                   "../../x", "a\0b", "x" * 5000, "é"])  # fmt: skip
def test_what_is_no_charset_of_mails(label: str) -> None:
    assert codec_of(label) is None


def test_headers_in_a_charset_that_nobody_names() -> None:
    email = email_of(f"Subject: {RUSSIAN}\r\nFrom: Иван <i@b.c>\r\n\r\nx".encode("cp1251"))
    assert (email.subject, email.sender_name) == (RUSSIAN, "Иван")
    assert email.defects == ["headers: neither ASCII nor UTF-8, read as windows-1251"]


def test_words_that_split_a_character_are_joined() -> None:
    assert email_of(b"Subject: =?utf-8?b?4oI=?= =?utf-8?b?rA==?= x\r\n\r\n").subject == "€ x"


def test_words_in_an_unknown_charset_are_guessed() -> None:
    assert email_of(b"Subject: =?x-nope?q?Gr=FC=DFe?=\r\n\r\n").subject == "Grüße"


def test_words_between_backslashes_are_left_alone() -> None:
    assert email_of(b"Subject: \\u20ac =?utf-8?q?x?=\r\n\r\n").subject == "\\u20ac x"
