"""An `Email` as a Python object: copied, pickled, looked at in a REPL, made by mistake."""

import copy
import pickle
import pydoc
import rlcompleter

import pytest
from support.kept_mail import WITH_ATTACHMENT, mail

from fastmail_ingest import Email


def test_a_pickle_goes_to_another_process_whatever_was_read_before() -> None:
    email = mail(1, WITH_ATTACHMENT, attempt=2)
    email.notes["seen"] = 1
    for read in ("id", "subject", "text", "attachments", "defects"):
        getattr(email, read)
        for made in (pickle.loads(pickle.dumps(email)), copy.deepcopy(email)):
            assert (made.id, made.attempt, made.notes, made.raw) == (email.id, 2, {"seen": 1}, email.raw)
            assert [each.content() for each in made.attachments] == [b"PDF"]


def test_a_copy_shares_what_was_read() -> None:
    email = mail(1, WITH_ATTACHMENT)
    assert copy.copy(email).subject == "two"
    email.notes["seen"] = 1
    first = email.attachments[0]
    made = copy.copy(email)
    assert made.attachments[0] is first
    assert made.notes is email.notes


def test_an_attachment_says_what_to_hand_on_instead() -> None:
    with pytest.raises(TypeError, match=r"cannot be pickled\. remedy: "):
        pickle.dumps(mail(1, WITH_ATTACHMENT).attachments)


def test_two_mails_are_two_even_if_all_is_alike() -> None:
    assert len({mail(1), mail(1)}) == 2


def test_what_a_repl_shows_reads_nothing() -> None:
    email = mail(1, WITH_ATTACHMENT)
    found = rlcompleter.Completer({"email": email})
    words = {found.complete("email.su", state) for state in range(2)}
    assert words == {"email.subject", None}
    assert email._parsed is None
    assert "Nothing is parsed before" in pydoc.render_doc(Email)


@pytest.mark.parametrize("given", [b"Subject: x\n\n", "mail.eml", None])
def test_one_that_is_made_by_hand_says_how(given: object) -> None:
    with pytest.raises(TypeError, match=r"remedy: fastmail_ingest\.testing\.make_email"):
        Email(given)  # type: ignore[arg-type]
