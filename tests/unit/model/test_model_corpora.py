"""Mails of other projects' tests: whatever they are, all of each can be read."""

import warnings
from pathlib import Path

import pytest
from support.corpora import KEPT, MORE, kept_mails, mails_in, sources
from support.everything import email_of, read_everything
from support.watched import watched

if not MORE.is_dir():
    warnings.warn(f"no further mails in {MORE}: scripts/more_corpora fetches them", UserWarning, stacklevel=1)


@pytest.mark.parametrize("source", sources(), ids=lambda path: str(path.relative_to(path.parent.parent)))
def test_all_of_every_mail_can_be_read(source: Path) -> None:
    mails = [path.read_bytes() for path in mails_in(source)]
    assert mails, source
    assert watched(mails, lambda raw: read_everything(email_of(raw))).done == len(mails)


def test_several_hundred_are_kept_each_with_its_licence() -> None:
    assert len(kept_mails()) >= 400
    for source in sources():
        if source.parent == KEPT:
            assert (source / "LICENSE").stat().st_size > 100, source


@pytest.mark.parametrize("name", ["cpython", "flufl.bounce", "enmime"])
def test_what_is_a_mail_says_from_whom(name: str) -> None:
    """The mails are read as mails: were the files empty or mangled, hardly one would have a sender."""
    mails = [email_of(path.read_bytes()) for path in mails_in(KEPT / name)]
    assert sum(bool(mail.sender or mail.subject) for mail in mails) > len(mails) / 2
