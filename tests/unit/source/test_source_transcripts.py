"""What real servers answer to FETCH, whole and damaged: the mails that are there, or an error, never another mail."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmail_ingest.errors import FastmailIngestError
from fastmail_ingest.model.mailbox import Fetched
from fastmail_ingest.source.fetch import read_fetch
from fastmail_ingest.source.wire import Wire

DIRECTORY = Path(__file__).parents[2] / "transcripts"
NAMES = sorted(path.name for path in DIRECTORY.glob("*.txt"))
UIDS = {
    "dovecot-2.3.19-fetch.txt": [1, 2, 3, 5],
    "dovecot-2.3.19-names.txt": [1, 2, 3, 5],
    "gmail-fetch.txt": [1341, 1344],
    "exchange-fetch.txt": [4, 5],
    "cyrus-fetch.txt": [4, 5],
    "courier-fetch.txt": [4, 5],
}
named = pytest.mark.parametrize("name", NAMES)


class Feed:
    """A socket that gives these bytes, `step` at a time, and then ends."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step, self._at = data, step, 0

    def recv_into(self, view: memoryview) -> int:
        piece = self._data[self._at : self._at + min(self._step, len(view))]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def gettimeout(self) -> float:
        return 1.0


def read(data: bytes, step: int = 1 << 20) -> list[Fetched]:
    """The mails up to the end, or up to the error."""
    mails: list[Fetched] = []
    try:
        for mail in read_fetch(Wire(Feed(data, step)), b"A1", 1 << 20, lambda _: None, lambda *_: False):
            mails.append(mail)  # noqa: PERF402 - those before an error count
    except FastmailIngestError:
        pass
    return mails


def facts(mail: Fetched) -> tuple[object, ...]:
    return mail.uid, mail.raw, mail.gm_msgid, mail.email_id


def test_every_transcript_is_known() -> None:
    assert set(NAMES) == set(UIDS)


@named
@settings(max_examples=30)
@given(step=st.integers(1, 3000))
def test_whole_in_any_pieces(name: str, step: int) -> None:
    mails = read((DIRECTORY / name).read_bytes(), step)
    with_body = [mail for mail in mails if mail.raw is not None] or mails
    assert [mail.uid for mail in with_body] == UIDS[name]
    assert all(mail.internal_date for mail in with_body)
    if name == "gmail-fetch.txt":
        assert mails[0].labels == ("\\Inbox", "\\Sent", "Important", "Muy Importante", 'Grüße "q"')
        assert mails[0].gm_msgid == "1278455344230334866"
    if name == "cyrus-fetch.txt":
        assert [mail.email_id for mail in mails] == ["M6d99ac3275bb4e", "M6d99ac3275bb4f"]


@named
@settings(max_examples=100)
@given(data=st.data())
def test_cut_anywhere_it_gives_a_beginning_of_the_mails(name: str, data: st.DataObject) -> None:
    whole = (DIRECTORY / name).read_bytes()
    there = [facts(mail) for mail in read(whole)]
    got = [facts(mail) for mail in read(whole[: data.draw(st.integers(0, len(whole)))])]
    assert got == there[: len(got)]


@named
@settings(max_examples=200)
@given(data=st.data())
def test_damaged_anywhere_it_ends_in_mails_or_in_an_error_of_ours(name: str, data: st.DataObject) -> None:
    damaged = bytearray((DIRECTORY / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        lost = data.draw(st.integers(0, 12))
        damaged[at : at + lost] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b")\r\n", b"{5}\r\n", b"* ", b'"'])
        )
    for mail in read(bytes(damaged), step=data.draw(st.integers(1, 500))):
        assert mail.raw is None or len(mail.raw) <= len(damaged)
