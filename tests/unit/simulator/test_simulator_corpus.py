"""Made-up mails: the same each time, of the promised sizes, and readable by any mail parser."""

import email
import io
import zipfile
from email.header import decode_header, make_header
from email.message import Message
from random import Random

import pytest

from fastmail_ingest.simulator import Corpus, mixed, samples
from fastmail_ingest.simulator.corpus import LARGEST_BYTES, MEAN_BYTES
from fastmail_ingest.simulator.kinds import KINDS, padding
from fastmail_ingest.simulator.phrases import LANGUAGES


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(seed=7)


def size(corpus: Corpus, number: int) -> int:
    return sum(map(len, corpus.render(number)))


def parsed(corpus: Corpus, number: int) -> Message:
    return email.message_from_bytes(b"".join(corpus.render(number)))


def drafted(kind: str, size: int = 4000) -> Message:
    draft = KINDS[kind](Random(3), size)
    subject = draft.subject.replace(b"{number}", b"1")
    return email.message_from_bytes(
        b"Subject: " + subject + b"\r\n" + draft.extra + draft.content + b"\r\n" + draft.body
    )


def test_the_same_seed_gives_the_same_mails(corpus: Corpus) -> None:
    again, other = Corpus(seed=7), Corpus(seed=8)
    assert all(corpus.render(number) == again.render(number) for number in range(600))
    assert corpus.render(1) != other.render(1)


@pytest.mark.parametrize("first", [0, 1, 333, 99_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_thousand_mails_have_the_mean_size(seed: int, first: int) -> None:
    corpus = Corpus(seed)
    mean = sum(size(corpus, number) for number in range(first, first + 1000)) / 1000
    assert mean == pytest.approx(MEAN_BYTES, rel=0.03)


def test_another_mean_can_be_asked_for() -> None:
    corpus = mixed(6000)
    assert sum(size(corpus, number) for number in range(1000)) / 1000 == pytest.approx(6000, rel=0.03)


def test_sizes_differ_as_in_a_real_mailbox(corpus: Corpus) -> None:
    sizes = sorted(size(corpus, number) for number in range(250))
    assert sizes[-1] <= LARGEST_BYTES * 1.1
    assert sizes[125] < MEAN_BYTES < sizes[-10]


@pytest.mark.parametrize("wanted", [1500, 18_000])
def test_a_fixed_size_is_kept(wanted: int) -> None:
    corpus = Corpus(1, wanted)
    assert all(abs(size(corpus, number) - wanted) < 200 for number in range(300))


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mixed"):
        Corpus(1, "huge")


def test_extra_headers_and_the_number_are_in_the_head() -> None:
    corpus = Corpus(1, numbered="X-Bench-Number")
    head, body = corpus.render(17, [("X-Extra", "100%")])
    message = email.message_from_bytes(head + body)
    assert (message["X-Bench-Number"], message["X-Extra"]) == ("17", "100%")
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1


def test_bodies_are_shared_and_message_ids_are_not(corpus: Corpus) -> None:
    assert corpus.render(3)[1] is corpus.render(253)[1]
    ids = [parsed(corpus, number)["Message-ID"] for number in range(500)]
    named = [message_id for message_id in ids if message_id is not None]
    assert len(named) == len(set(named)) > 400


def test_every_mail_of_the_pool_parses_without_defects(corpus: Corpus) -> None:
    for number in range(250):
        for part in parsed(corpus, number).walk():
            assert not part.defects, (number, part.get_content_type())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_parses(kind: str) -> None:
    message = drafted(kind)
    for part in message.walk():
        assert not part.defects
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            payload.decode(part.get_content_charset("ascii"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 100, 50_000])
def test_each_kind_takes_any_size(kind: str, size: int) -> None:
    body = KINDS[kind](Random(1), size).body
    if kind != "empty_body":
        assert len(body) == pytest.approx(size, abs=1200, rel=0.15)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_each_language_fits_its_charset(language: object) -> None:
    assert language in LANGUAGES
    for entry in LANGUAGES:
        "".join((*entry.subjects, *entry.sentences)).encode(entry.charset)


def test_the_attachment_the_bounce_and_the_report_are_what_they_claim() -> None:
    attached = [part.get_filename() for part in drafted("attachment").walk() if part.get_filename()]
    assert attached == ["Rechnung März.pdf"]
    bounced = drafted("bounce")
    assert bounced.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in bounced.walk()].count("message/delivery-status") == 1
    packed = drafted("dmarc_report").get_payload(decode=True)
    assert isinstance(packed, bytes)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.read(archive.namelist()[0]).endswith(b"</feedback>\n")
    assert any(part.get_content_type() == "message/rfc822" for part in drafted("nested").walk())
    assert len(drafted("long_references")["References"]) > 2000
    assert drafted("empty_body").get_payload() == ""


def test_japanese_subjects_decode() -> None:
    subject = str(make_header(decode_header(drafted("iso_2022_jp")["Subject"])))
    assert any("\u3040" <= letter <= "\u30ff" or letter > "\u4e00" for letter in subject)


@pytest.mark.parametrize("wanted", [0, 1, 2, 3, 75, 76, 77, 78, 79, 500])
def test_padding_is_exact(wanted: int) -> None:
    assert len(padding(wanted)) == wanted


def test_the_demo_has_three_readable_mailboxes() -> None:
    found = dict(samples())
    assert list(found) == ["support", "invoices", "newsletters"]
    for mails in found.values():
        assert len(mails) >= 12
        for mail in mails:
            message = email.message_from_bytes(mail.head + mail.body)
            assert message["Subject"]
            assert not message.defects
    invoice = found["invoices"][0]
    assert b"invoice-2041.pdf" in invoice.body


def test_the_demo_is_the_same_each_time() -> None:
    first, second = samples(), samples()
    assert [mail.render() for _, mails in first for mail in mails] == [
        mail.render() for _, mails in second for mail in mails
    ]
