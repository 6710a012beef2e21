"""Made-up mails: the same from the same seed, sound ones read as they were meant, hostile ones of every kind."""

import hashlib
import subprocess
import sys
from random import Random

import pytest
from support.everything import email_of
from support.watched import watched

from fastmail_ingest.model.email import Email
from fastmail_ingest.testing import run_handler
from fastmail_ingest.testing.mails.bombs import BOMBS
from fastmail_ingest.testing.mails.damage import Damage
from fastmail_ingest.testing.mails.hostile import DAMAGES, hostile_mail, hostile_mails
from fastmail_ingest.testing.mails.kinds import KINDS
from fastmail_ingest.testing.mails.sound import SoundMail, sound_mail

SOUND = [sound_mail(1, number) for number in range(1000)]


def lines(text: str) -> str:
    return text.replace("\r\n", "\n").rstrip("\n")


def heads(email: Email) -> tuple[object, ...]:
    date = email.date.timestamp() if email.date else None
    return (
        email.subject, email.sender, email.sender_name, [address.address for address in email.to],
        email.message_id, date,
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sound_mail_is_read_as_it_was_meant(kind: str) -> None:
    mails = [mail for mail in SOUND if mail.kind == kind]
    assert mails
    for mail in mails:
        email, meant = email_of(mail.raw), mail.content
        assert heads(email) == (
            mail.subject, mail.sender, mail.sender_name, mail.to, mail.message_id, mail.date_s
        ), mail.raw  # fmt: skip
        assert meant.text is None or lines(email.text) == meant.text, mail.raw
        assert meant.html is None or lines(email.html) == meant.html, mail.raw
        files = [(file.filename, file.content()) for file in email.attachments]
        assert meant.files is None or files == meant.files, mail.raw
        assert email.defects == [], mail.raw


def digest(count: int) -> str:
    return hashlib.sha256(b"".join(hostile_mails(3, count, [b"Subject: own\r\n\r\nx"]))).hexdigest()


def test_the_same_seed_gives_the_same_mails_in_another_process() -> None:
    code = f"""
import hashlib
from fastmail_ingest.testing.mails.hostile import hostile_mails
print(hashlib.sha256(b"".join(hostile_mails(3, {300}, [b"Subject: own\\r\\n\\r\\nx"]))).hexdigest())
"""
    other = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "5"}, capture_output=True, check=True
    )
    assert other.stdout.decode().strip() == digest(300)


def test_a_mail_is_made_again_by_its_number_alone() -> None:
    assert list(hostile_mails(4, 20))[17] == hostile_mail(4, 17)


def test_other_seeds_and_numbers_give_other_mails() -> None:
    mails = {hostile_mail(seed, number) for seed in range(3) for number in range(200)}
    assert len(mails) > 590  # a few are next to nothing, and those are alike


def test_own_mails_are_damaged_too() -> None:
    mails = list(hostile_mails(5, 200, [b"X-Own: here\r\n\r\n" + b"own " * 50]))
    assert 50 < sum(b"own own" in mail for mail in mails) < 150


@pytest.mark.parametrize("damage", [*DAMAGES, *BOMBS], ids=lambda damage: damage.__name__)
def test_every_damage_changes_mails_and_takes_any_bytes(damage: Damage) -> None:
    mails = [mail.raw for mail in SOUND[:60]]
    changed = [damage(raw, Random(number)) for number, raw in enumerate(mails)]
    assert sum(new != raw for new, raw in zip(changed, mails, strict=True)) >= len(mails) // 4
    for raw in (b"", b"\r\n", b"x", b"Subject: x\r\n\r\n", b"\xff" * 100):
        assert isinstance(damage(raw, Random(1)), bytes)


def test_watching_names_what_raises_hangs_and_kills() -> None:
    assert watched([1, 2, 3], str).done == 3
    with pytest.raises(AssertionError, match=r"item 2 raises:(?s:.*)ZeroDivisionError"):
        watched([2, 1, 0], lambda each: 1 // each)
    with pytest.raises(AssertionError, match="item 1 killed its process: -9"):
        watched(["1", "__import__('os').kill(__import__('os').getpid(), 9)"], eval)


def test_a_handler_meets_them_in_a_test_of_its_own() -> None:
    met: list[int] = []

    def handle(email: Email) -> None:
        met.append(len(email.subject) + len(email.text))

    for raw in hostile_mails(seed=7, count=40):
        outcome = run_handler(handle, raw)
        assert outcome.done, (raw, outcome)
    assert len(met) == 40


def meant_files(mail: SoundMail) -> int:
    return len(mail.content.files or ())


def test_sound_mails_are_of_every_kind_and_some_have_files() -> None:
    assert {mail.kind for mail in SOUND} == set(KINDS)
    assert sum(map(meant_files, SOUND)) > 100
